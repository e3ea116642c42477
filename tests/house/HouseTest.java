package sheaf.house;

import static java.util.stream.Collectors.toCollection;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import sheaf.Sheaf;
import sheaf.support.Project;
import sheaf.support.Sources;

/** The floors of lib/, as lib/README.md has them and as the compiled classes keep them. */
public class HouseTest {
    private static final Path LIB = Project.root().resolve("lib");
    private static final Pattern PART = Pattern.compile("(?m)^## .*`(lib/\\w+)`");
    private static final Pattern FLOOR = Pattern.compile("(?m)^\\| ([0-9]+) \\|(.*)\\|$");
    private static final Pattern ROOM = Pattern.compile("\\*\\*(\\w+)\\*\\*");
    private static final Pattern USE = Pattern.compile(" +(sheaf[\\w.$]*) +-> (sheaf[\\w.$]*) .*");
    private static final String CLIENT = "sheaf.Sheaf";
    /** Spark's classes are not among those of the tests, so SparkTest asks for their {@link #ties}. */
    private static final Map<String, String> DOORS =
        Map.of("client", CLIENT, "server", "sheaf.server.BatchServer", "model", "sheaf.model.LocalModel",
            "sql", "sheaf.Sql", "excel", "sheaf.Excel", "spark", "sheaf.SparkBatch");
    /** Which files each file of lib/ uses: sheaf.Journal by sheaf.Watch. A nested class is part of its file. */
    private static final Map<String, TreeSet<String>> USES = new TreeMap<>();

    @BeforeAll static void readTheClasses() throws URISyntaxException {
        USES.putAll(uses(Path.of(Sheaf.class.getProtectionDomain().getCodeSource().getLocation().toURI())));
    }

    private static Map<String, TreeSet<String>> uses(Path jar) {
        var uses = new TreeMap<String, TreeSet<String>>();
        var out = new StringWriter();
        var jdeps = ToolProvider.findFirst("jdeps").orElseThrow();
        // without -filter:none it leaves out what stands in the same archive
        jdeps.run(new PrintWriter(out), new PrintWriter(System.err), "-verbose:class", "-filter:none", jar.toString());
        var files = files();
        out.toString().lines().map(USE::matcher).filter(use -> use.matches()).forEach(use -> {
            var from = file(use.group(1));
            var to = file(use.group(2));
            if (files.contains(from) && files.contains(to) && !from.equals(to))
                uses.computeIfAbsent(from, any -> new TreeSet<>()).add(to);
        });
        return uses;
    }

    /** Returns which files of the classes in a jar use one that is not on a lower floor. */
    public static List<String> ties(Path jar) throws IOException { return ties(uses(jar)); }

    private static List<String> ties(Map<String, TreeSet<String>> uses) throws IOException {
        var floors = floors();
        return uses.entrySet().stream().flatMap(user -> user.getValue().stream()
            .filter(used -> floors.get(used) >= floors.get(user.getKey()))
            .map(used -> user.getKey() + " uses " + used)).toList();
    }

    private static String file(String type) { return type.replaceFirst("\\$.*", ""); }

    /** Returns each file of lib/ by the name of its class. */
    private static TreeSet<String> files() {
        var files = DOORS.values().stream().collect(toCollection(TreeSet::new));
        DOORS.forEach((part, door) -> rooms(part).forEach(room -> files.add(inPackageOf(door, room))));
        return files;
    }

    private static List<String> rooms(String part) {
        try (var files = Files.list(LIB.resolve(part))) {
            return files.map(file -> file.getFileName().toString()).filter(name -> name.endsWith(".java"))
                .map(name -> name.replace(".java", "")).sorted().toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String inPackageOf(String door, String room) {
        return door.substring(0, door.lastIndexOf('.') + 1) + room;
    }

    /** Returns the floor of each file, as the map of the house has it; a door is above all, the client's but one. */
    private static Map<String, Integer> floors() throws IOException {
        var floors = new LinkedHashMap<String, Integer>();
        var map = Files.readString(LIB.resolve("README.md"));
        var parts = PART.matcher(map).results().toList();
        for (int i = 0; i < parts.size(); i++) {
            var door = DOORS.get(parts.get(i).group(1).replace("lib/", ""));
            int end = i + 1 < parts.size() ? parts.get(i + 1).start() : map.length();
            var section = map.substring(parts.get(i).end(), end);
            FLOOR.matcher(section).results().forEach(floor -> ROOM.matcher(floor.group(2)).results().forEach(room ->
                floors.put(inPackageOf(door, room.group(1)), Integer.valueOf(floor.group(1)))));
            floors.put(door, door.equals(CLIENT) ? Integer.MAX_VALUE - 1 : Integer.MAX_VALUE);
        }
        return floors;
    }

    @Test void everyFileHasAFloorOnTheMap() throws IOException {
        assertEquals(files(), new TreeSet<>(floors().keySet()));
    }

    @Test void aFileUsesOnlyFilesOnLowerFloors() throws IOException {
        var ties = ties(USES);

        assertTrue(USES.values().stream().mapToInt(TreeSet::size).sum() > 300, "jdeps saw next to nothing");
        assertEquals(List.of(), ties);
    }

    @Test void clientServerAndModelShareNoClass() {
        var shared = USES.entrySet().stream().flatMap(user -> user.getValue().stream()
            .filter(used -> !packageOf(used).equals(packageOf(user.getKey())))
            .map(used -> user.getKey() + " uses " + used)).toList();

        assertEquals(List.of(), shared);
    }

    private static String packageOf(String type) { return type.substring(0, type.lastIndexOf('.')); }

    /** A glob yields nothing where the door comes from a URL. */
    @Test void aDoorNamesEachRoomOnce() throws IOException {
        for (var part : DOORS.keySet()) {
            var door = LIB.resolve(DOORS.get(part).replaceFirst(".*\\.", "") + ".java");

            assertEquals(rooms(part).stream().map(room -> part + "/" + room + ".java").toList(),
                Sources.words(door, "SOURCES").stream().filter(source -> source.contains("/")).sorted().toList(),
                door.toString());
        }
    }

    /** A second class would belong to no file of its own name. */
    @Test void aFileHasOneTopClassOfItsName() throws IOException {
        var top = Pattern.compile("(?m)^(?:public |abstract |final |sealed )*(?:class|record|enum|interface) (\\w+)");
        try (Stream<Path> paths = Files.walk(LIB)) {
            for (var path : paths.filter(file -> file.toString().endsWith(".java")).toList())
                assertEquals(List.of(path.getFileName().toString().replace(".java", "")),
                    top.matcher(Files.readString(path)).results().map(type -> type.group(1)).toList());
        }
    }
}
