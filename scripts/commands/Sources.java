package sheaf.commands;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.source.doctree.DocCommentTree;
import com.sun.source.tree.ClassTree;
import com.sun.source.tree.MethodTree;
import com.sun.source.tree.VariableTree;
import com.sun.source.util.DocTrees;
import com.sun.source.util.JavacTask;
import com.sun.source.util.TreePathScanner;
import java.io.IOException;
import java.net.URI;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/** What the sources that lie in the kernel's jar say of a word, by its signature as JShell writes it. */
final class Sources {
    private static final List<String> FILES = List.of("Sheaf", "Findings", "Outlook", "Listings", "Vocabulary",
        "BatchServer", "LocalModel");
    private Map<String, String> comments;                  // by key; null: not read yet

    /**
     * Returns the signature, and what is said of it in plain text; of a method that is known with the names of its
     * parameters.
     */
    synchronized String explained(String signature) {
        if (comments == null) comments = read();
        return comments.getOrDefault(key(signature), signature);
    }

    /**
     * A member is told by its class, its name and its parameters' types without their packages, a class by its name:
     * {@code Draft.model(String,String...)}.
     */
    private static String key(String signature) {
        var plain = withoutTypeArguments(signature);
        int open = plain.indexOf('(');
        var names = (open < 0 ? plain : plain.substring(0, open)).replaceAll(".* ", "").split("\\.");
        if (open < 0) return names[names.length - 1];
        var types = Stream.of(plain.substring(open + 1, plain.lastIndexOf(')')).split(","))
            .map(parameter -> simple(parameter.strip().split(" ")[0])).collect(Collectors.joining(","));
        return Stream.of(names).skip(Math.max(0, names.length - 2)).collect(Collectors.joining("."))
            + "(" + types + ")";
    }

    private static String withoutTypeArguments(String signature) {
        var plain = signature.replaceAll("<[^<>]*>", "");
        return plain.equals(signature) ? plain : withoutTypeArguments(plain);
    }

    private static String simple(String type) { return type.replaceAll(".*\\.(?=[A-Za-z])", ""); }

    private Map<String, String> read() {
        var found = new HashMap<String, String>();
        try {
            var texts = FILES.stream().map(Sources::text).filter(text -> text != null).toList();
            var task = (JavacTask) ToolProvider.getSystemJavaCompiler().getTask(null, null, fault -> {}, null, null,
                texts);
            var trees = DocTrees.instance(task);
            for (var unit : task.parse()) new Comments(trees, found).scan(unit, null);
        } catch (IOException unreadable) {
            return found;
        }
        return found;
    }

    private static JavaFileObject text(String name) {
        try (var in = Sources.class.getResourceAsStream("/sources/" + name + ".java")) {
            if (in == null) return null;
            var text = new String(in.readAllBytes(), UTF_8);
            return new SimpleJavaFileObject(URI.create("string:///" + name + ".java"), JavaFileObject.Kind.SOURCE) {
                @Override public CharSequence getCharContent(boolean ignoreErrors) { return text; }
            };
        } catch (IOException unreadable) {
            return null;
        }
    }

    /** Walks through a source, and keeps the comment of each class and method. */
    private static final class Comments extends TreePathScanner<Void, Void> {
        private final DocTrees trees;
        private final Map<String, String> found;

        Comments(DocTrees trees, Map<String, String> found) {
            this.trees = trees;
            this.found = found;
        }

        @Override public Void visitClass(ClassTree tree, Void none) {
            keep(tree.getSimpleName().toString(), tree.getSimpleName().toString());
            return super.visitClass(tree, none);
        }

        @Override public Void visitMethod(MethodTree tree, Void none) {
            var name = ((ClassTree) getCurrentPath().getParentPath().getLeaf()).getSimpleName() + "." + tree.getName();
            var parameters = tree.getParameters().stream().map(Comments::declared).collect(Collectors.joining(", "));
            var called = name + "(" + parameters + ")";
            keep(key(called), tree.getReturnType() == null ? called : tree.getReturnType() + " " + called);
            return null;                                   // what is within a method has no comment
        }

        private static String declared(VariableTree parameter) {
            var declared = parameter.toString().replaceAll("^.*\\*/|@\\S+ ", "").strip();
            return declared.contains("...") ? declared.replace("[]...", "...") : declared;
        }

        private void keep(String key, String signature) {
            var comment = trees.getDocCommentTree(getCurrentPath());
            if (comment != null) found.putIfAbsent(key, signature + "\n" + plain(comment).indent(4));
        }
    }

    /** Tags in braces are their text, and HTML's are left out; what begins with an @ is a line of its own. */
    private static String plain(DocCommentTree comment) {
        var text = comment.toString().replaceAll("(?s)<pre>.*?</pre>", "").replaceAll("\\{@\\w+\\s+#?([^{}]*)}", "$1")
            .replaceAll("</?[a-z][^<>]*>", "");
        return Stream.of(text.split("\n\\s*(?=@)")).map(part -> part.replaceAll("\\s+", " ").strip())
            .filter(part -> !part.isEmpty() && !part.startsWith("@see")).collect(Collectors.joining("\n"));
    }
}
