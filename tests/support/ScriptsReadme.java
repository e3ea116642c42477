///usr/bin/env jbang "$0" "$@" ; exit $?
//DESCRIPTION Write scripts/README.md, the list of what can be run, from the catalog
//JAVA 17+
//DEPS com.fasterxml.jackson.core:jackson-databind:2.22.4

package sheaf.support;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Writes scripts/README.md from jbang-catalog.json, in its order; which section an alias is in, its script tells.
 * <pre>
 *     ./jbang tests/support/ScriptsReadme.java
 * </pre>
 */
public class ScriptsReadme {
    public static final String HEAD = """
        # What you can run

        From anywhere, with [JBang](https://www.jbang.dev) and nothing else of ours:

            jbang quickstart@owner/repo

        In a clone that is `./jbang quickstart`, and in any other folder `/path/to/clone/jbang quickstart`. What JBang
        has fetched from a URL it keeps for 12 hours; `jbang --fresh quickstart@owner/repo` asks again.

        - **Another model, dataset or prompt**: where a script says `.options(args)`, its line takes
          `--model M --data FILE --template FILE`, and more. Or put a file of the same name into your folder, such as
          `data/reviews.csv`: yours is taken.
        - **What is kept** under `~/.sheaf` has the script's name and its data's, `sentiment-reviews`: the answers of
          earlier runs of that name are taken over. `--name N` asks anew.
        - **Free, on this machine**: `--provider local`, while `./jbang local` (`jbang local@owner/repo`) runs beside
          it.
        - **A script of your own**: `jbang init -t sheaf@owner/repo my.java` makes one that runs at once, with its
          prompt, its data and the library beside it. A second one goes into a folder of its own, such as
          `two/my.java`: nothing is overwritten.
        """;

    /** One section, and what is in it: the first that an alias fits. */
    private enum Section {
        OWN("For work on Sheaf itself", ""),
        LIBRARY("The library", ""),
        MODELS("A recipe with another model", "The script is the recipe's; a `--model` of yours still wins."),
        COMMANDS("Commands", "Each tells its options with `--help`."),
        RECIPES("Recipes", "Each is one idea, written to be copied.");

        final String title, text;

        Section(String title, String text) {
            this.title = title;
            this.text = text;
        }

        static Section of(Alias alias) {
            if (alias.script().matches("(tests|bench)/.*")) return OWN;
            if (!alias.runs()) return LIBRARY;
            if (alias.arguments().contains("--model")) return MODELS;
            return alias.script().matches("scripts/[^/]*") ? RECIPES : COMMANDS;
        }
    }

    private record Alias(String name, String script, String description, String arguments, String source) {
        private static final Pattern MAIN = Pattern.compile("(?m)^ *(public )?static void main\\(");

        boolean runs() { return MAIN.matcher(source).find(); }

        String line() {
            if (Section.of(this) == Section.OWN) return "./jbang " + name;
            return (runs() ? "jbang " : "//SOURCES ") + name + "@owner/repo";
        }

        String row() {
            var link = "[" + script.replaceFirst(".*/", "") + "](" + (script.startsWith("scripts/")
                ? script.substring("scripts/".length()) : "../" + script) + ")";
            return "| `" + line() + "` | " + description.replace("|", "\\|") + " | " + link + " |\n";
        }
    }

    public static void main(String... args) throws IOException {
        var root = Path.of("").toAbsolutePath();
        while (root != null && Files.notExists(root.resolve("jbang-catalog.json"))) root = root.getParent();
        if (root == null) {
            System.err.println("readme: no jbang-catalog.json here or above; cd to the project");
            System.exit(1);
        }
        Files.writeString(root.resolve("scripts/README.md"), text(root));
    }

    /** Returns what scripts/README.md has to say. */
    public static String text(Path root) throws IOException {
        var sections = new LinkedHashMap<Section, List<Alias>>();
        for (var alias : aliases(root)) sections.computeIfAbsent(Section.of(alias), s -> new ArrayList<>()).add(alias);
        var text = new StringBuilder(HEAD);
        sections.forEach((section, aliases) -> {
            text.append("\n## ").append(section.title).append("\n\n");
            if (!section.text.isEmpty()) text.append(section.text).append("\n\n");
            text.append("| run it | what it does | script |\n|---|---|---|\n");
            for (var alias : aliases) text.append(alias.row());
        });
        return text.toString();
    }

    private static List<Alias> aliases(Path root) throws IOException {
        var aliases = new ArrayList<Alias>();
        var catalog = new ObjectMapper().readTree(root.resolve("jbang-catalog.json").toFile());
        for (var entry : catalog.path("aliases").properties()) {
            var alias = entry.getValue();
            var script = alias.path("script-ref").asText();
            aliases.add(new Alias(entry.getKey(), script, alias.path("description").asText(),
                alias.path("arguments").toString(), Files.readString(root.resolve(script))));
        }
        return aliases;
    }
}
