package sheaf;

import static sheaf.Messages.cause;
import static sheaf.Messages.clip;
import static sheaf.Messages.given;
import static sheaf.Messages.visible;

import com.github.mustachejava.Binding;
import com.github.mustachejava.Code;
import com.github.mustachejava.DefaultMustacheFactory;
import com.github.mustachejava.DefaultMustacheVisitor;
import com.github.mustachejava.Mustache;
import com.github.mustachejava.MustacheException;
import com.github.mustachejava.MustacheResolver;
import com.github.mustachejava.MustacheVisitor;
import com.github.mustachejava.TemplateContext;
import com.github.mustachejava.codes.DynamicPartialCode;
import com.github.mustachejava.codes.PartialCode;
import com.github.mustachejava.codes.ValueCode;
import com.github.mustachejava.reflect.MapObjectHandler;
import java.io.IOException;
import java.io.StringReader;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Mustache without escaping, without files, and without silence about what is missing. */
final class Templates {
    private static final String NO_PARTIALS = "partials, {{>name}}, are not read; put the text into the template";
    private static final String NO_PRAGMAS = "pragmas, {{%name}}, are not read; give the column another name";
    /** The parser drops a carriage return alone, and doubles one before two newlines. */
    private static final Pattern ODD_RETURN = Pattern.compile("\r(?!\n(?!\n))");
    /** The key under which a rendering collects the names that had no value. */
    private static final String MISSING = "\0missing";

    private static final class Factory extends DefaultMustacheFactory {
        private final char oddReturn;                  // stands for a carriage return that the parser would lose

        Factory(char oddReturn) {
            super((MustacheResolver) name -> null);
            setObjectHandler(new ScopeLookup());
            this.oddReturn = oddReturn;
        }

        /** The library's own writes nothing for a pragma. */
        @Override public MustacheVisitor createMustacheVisitor() {
            return new DefaultMustacheVisitor(this) {
                @Override public void write(TemplateContext context, String text) {
                    super.write(context, text.replace(oddReturn, '\r'));
                }

                @Override public void pragma(TemplateContext context, String pragma, String rest) {
                    throw new MustacheException(NO_PRAGMAS, context);
                }
            };
        }

        @Override public void encode(String value, Writer writer) {
            try {
                writer.write(value);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** Looks names up in maps alone, so no template calls a method. */
    private static final class ScopeLookup extends MapObjectHandler {
        @Override public String stringify(Object value) { return Json.cell(value); }

        @Override public Binding createBinding(String name, TemplateContext context, Code code) {
            return scopes -> {
                var value = lookup(name, scopes);
                if (value == null && code instanceof ValueCode) missing(scopes).putIfAbsent(name, context.line());
                return value;
            };
        }

        private static Object lookup(String name, List<Object> scopes) {
            for (int i = scopes.size() - 1; i >= 0; i--) {
                if (name.equals(".")) return scopes.get(i) instanceof Map<?, ?> ? null : scopes.get(i);
                var value = inside(scopes.get(i), name);
                if (value != null || scopes.get(i) instanceof Map<?, ?> map && map.containsKey(name)) return value;
            }
            return null;
        }

        /** A column may have a dot in its name; else a dot leads into the value. */
        private static Object inside(Object scope, String name) {
            if (!(scope instanceof Map<?, ?> map)) return null;
            if (map.containsKey(name)) return map.get(name);
            int dot = name.indexOf('.');
            return dot < 0 ? null : inside(map.get(name.substring(0, dot)), name.substring(dot + 1));
        }

        @SuppressWarnings("unchecked")
        private static Map<String, Integer> missing(List<Object> scopes) {
            return (Map<String, Integer>) ((Map<?, ?>) scopes.get(0)).get(MISSING);
        }
    }

    private static boolean hasPartial(Code[] codes) {
        return codes != null && Stream.of(codes).anyMatch(code ->
            code instanceof PartialCode || code instanceof DynamicPartialCode || hasPartial(code.getCodes()));
    }

    /** Whether it writes texts and values and nothing else: no section, no name that only a section has. */
    private static boolean isPlain(Mustache mustache) {
        return Stream.of(mustache.getCodes()).allMatch(code -> code.getCodes() == null
            && (code.getName() == null || code instanceof ValueCode && !code.getName().equals(".")));
    }

    static Mustache compile(String name, String text) {
        try {
            char unused = unusedIn(text);
            var parsed = ODD_RETURN.matcher(text).replaceAll(String.valueOf(unused));
            var mustache = new Factory(unused).compile(new StringReader(parsed), name.isEmpty() ? "text" : name);
            if (hasPartial(mustache.getCodes())) throw new MustacheException(NO_PARTIALS);
            return mustache;
        } catch (MustacheException e) {
            var which = name.isEmpty() ? "\"" + clip(text, 40) + "\"" : name;
            var why = text.contains("{{>") ? NO_PARTIALS : cause(e).replaceFirst(" @\\[.*:([0-9]+)]$", " (line $1)")
                .replaceFirst("^Improperly closed variable", "a {{ is not closed by }}");
            throw new IllegalArgumentException("template: " + which + ": " + why, e);
        }
    }

    private static char unusedIn(String text) {
        char unused = '\uE000';
        while (text.indexOf(unused) >= 0) unused++;
        return unused;
    }

    static String render(Mustache mustache, Map<String, Object> row, Map<String, Integer> missing) {
        var out = new StringWriter();
        write(mustache, row, missing, out);
        return out.toString();
    }

    /** Writes a rendering as it is made: a section's values may come one by one, from an iterator. */
    static void write(Mustache mustache, Map<String, Object> row, Map<String, Integer> missing, Writer out) {
        mustache.execute(out, new Object[] {Map.of(MISSING, missing), row});
    }

    /** Returns every name that the template looks up, sections included. */
    static Set<String> names(Mustache mustache) {
        var names = new LinkedHashSet<String>();
        collect(mustache.getCodes(), names);
        return names;
    }

    private static void collect(Code[] codes, Set<String> names) {
        if (codes == null) return;
        for (var code : codes) {
            if (code.getName() != null) names.add(code.getName());
            collect(code.getCodes(), names);
        }
    }

    /** Returns what a name means in a row, a dotted one too; null where there is no such value. */
    static Object value(String name, Map<String, Object> row) { return ScopeLookup.inside(row, name); }

    /** Names what had no value, each with its line of the template. */
    static String describe(Map<String, Integer> missing) {
        return missing.entrySet().stream()
            .map(entry -> "{{" + entry.getKey() + "}} (template line " + entry.getValue() + ")")
            .collect(Collectors.joining(", "));
    }

    /** Names the columns that a row has. */
    static String has(Map<String, Object> row) {
        if (row.get("result") instanceof Map<?, ?> result && !result.containsKey("text"))
            return "its outcome is " + result.get("outcome") + ": " + result.get("error") + "; feed succeeded()";
        return "it has: " + row.entrySet().stream()
            .map(entry -> visible(entry.getKey()) + (entry.getValue() == null ? " (null)" : ""))
            .collect(Collectors.joining(", "));
    }

    /** A Mustache text with a name: where it is looked for, what it names, and what it renders. */
    static final class Text {
        private static final List<String> PATTERNS =
            List.of("%s", "%s.mustache", "templates/%s", "templates/%s.mustache");
        private final String name;
        private final String text;
        private final boolean isNamed;                // by the user; else it is a text in prompts(...)
        private Mustache mustache;                    // null: not compiled yet, for a literal need not be Mustache

        private Text(String name, String text, boolean isNamed) {
            this.name = name;
            this.text = text;
            this.isNamed = isNamed;
        }

        /** Returns a text without a name, as {@code word} was given it. */
        static Text of(String word, String text) { return new Text("", given(word, text), false); }

        /** Returns a template of the user's, compiled. */
        static Text compiled(String name, String text) {
            var template = new Text(given("template", name), given("template", text), !name.isEmpty());
            template.compile();
            return template;
        }

        /** Returns the same text under a name that says where it stands. */
        Text called(String name) { return new Text(name, text, false); }

        static Text find(String file) {
            if (given("template", file).contains("{{") || file.contains("\n"))
                throw new IllegalArgumentException("template: takes a file name; for text write "
                    + Wording.TEXT.of(clip(file, 40)));
            var paths = places(file);
            return located(paths).map(input -> compiled(nameOf(file), chomp(input.text())))
                .orElseThrow(() -> new IllegalArgumentException("template: no file " + file + " (looked for "
                    + String.join(", ", paths) + " at " + Path.of("").toAbsolutePath() + ")"));
        }

        /** Whether a text is the name of a template. */
        static boolean isFile(String text) {
            return text.matches("[\\w./-]+") && located(places(text)).isPresent();
        }

        private static List<String> places(String file) {
            return PATTERNS.stream().map(place -> place.formatted(file)).toList();
        }

        private static Optional<InputFile> located(List<String> paths) {
            return paths.stream().flatMap(path -> InputFile.locate("template", path).stream()).findFirst();
        }

        private static String nameOf(String file) {
            return Path.of(file).getFileName().toString().replaceFirst("\\.mustache$", "");
        }

        /** An editor ends a file with a newline that no prompt wants. */
        private static String chomp(String text) { return text.replaceFirst("\\r?\\n\\z", ""); }

        String name() { return name; }

        String text() { return text; }

        boolean isNamed() { return isNamed; }

        boolean hasTags() { return text.contains("{{"); }

        Mustache compile() {
            if (mustache == null) mustache = Templates.compile(name, text);
            return mustache;
        }

        /** Returns every name that it looks up. */
        Set<String> names() { return Templates.names(compile()); }

        /** Whether a value stands in it as it is wherever it is named. */
        boolean isPlain() { return !hasTags() || Templates.isPlain(compile()); }

        boolean namesAny(Set<String> columns) {
            return names().stream().anyMatch(name ->
                columns.contains(name) || columns.contains(name.replaceFirst("\\..*", "")));
        }

        /** @throws IllegalArgumentException if a name has no value, with the row and the template's line */
        String render(String word, long row, Map<String, Object> values) {
            if (!hasTags()) return text;
            var missing = new LinkedHashMap<String, Integer>();
            var result = Templates.render(compile(), values, missing);
            if (missing.isEmpty()) return result;
            throw new IllegalArgumentException(word + ": row " + row + " has no value for "
                + Templates.describe(missing) + "; " + Templates.has(values)
                + meant(missing.keySet(), values.keySet()));
        }

        private static String meant(Set<String> missing, Set<String> columns) {
            return missing.stream().flatMap(name -> Messages.near(name, columns).stream()).findFirst()
                .map(near -> "; did you mean {{" + near + "}}?").orElse("");
        }

        /** Names the tags, which a row has to fill. */
        @Override public String toString() {
            var tags = hasTags() ? names() : Set.<String>of();
            var shown = tags.stream().map(tag -> " {{" + tag + "}}").collect(Collectors.joining());
            return "Template[" + name + shown + "]";
        }
    }
}
