package sheaf.support;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/** An Excel file, written part by part as the standard has it, so that what reads one is not tested by itself. */
public final class Xlsx {
    private static final String MAIN = "xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" "
        + "xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"";
    private static final String RELATIONS =
        "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">%s</Relationships>";
    private static final String RELATION = "<Relationship Id=\"%s\" Target=\"%s\" Type=\"http://schemas.openxmlformats."
        + "org/officeDocument/2006/relationships/%s\"/>";

    private Xlsx() {}

    /**
     * Writes a workbook.
     * @param codes of number formats: cells of style 1 have the first; a number is the id of one that is built in
     * @param sheets by their names, the XML of their rows
     */
    public static Path write(Path file, List<String> codes, Map<String, String> sheets) {
        var parts = new LinkedHashMap<String, String>();
        var names = List.copyOf(sheets.keySet());
        parts.put("[Content_Types].xml", "<Types "
            + "xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">"
            + "<Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>"
            + "<Default Extension=\"xml\" ContentType=\"application/xml\"/>" + type("/xl/workbook.xml", "sheet.main")
            + type("/xl/styles.xml", "styles") + numbered(names, n -> type("/xl/worksheets/sheet" + n + ".xml",
                "worksheet")) + "</Types>");
        parts.put("_rels/.rels", RELATIONS.formatted(RELATION.formatted("rId1", "xl/workbook.xml", "officeDocument")));
        parts.put("xl/workbook.xml", "<workbook " + MAIN + "><sheets>" + numbered(names, n -> "<sheet name=\""
            + names.get(n - 1) + "\" sheetId=\"" + n + "\" r:id=\"rId" + n + "\"/>") + "</sheets></workbook>");
        parts.put("xl/_rels/workbook.xml.rels", RELATIONS.formatted(numbered(names, n -> RELATION.formatted("rId" + n,
            "worksheets/sheet" + n + ".xml", "worksheet")) + RELATION.formatted("rId99", "styles.xml", "styles")));
        parts.put("xl/styles.xml", styles(codes));
        for (int n = 1; n <= names.size(); n++) parts.put("xl/worksheets/sheet" + n + ".xml", "<worksheet " + MAIN
            + "><sheetData>" + sheets.get(names.get(n - 1)) + "</sheetData></worksheet>");
        return zip(file, parts);
    }

    private static String styles(List<String> codes) {
        var own = IntStream.range(0, codes.size()).filter(i -> !codes.get(i).matches("[0-9]+id"))
            .mapToObj(i -> "<numFmt numFmtId=\"" + (200 + i) + "\" formatCode=\"" + codes.get(i).replace("\"", "&quot;")
                + "\"/>").collect(Collectors.joining());
        return "<styleSheet " + MAIN + "><numFmts>" + own + "</numFmts><cellXfs><xf numFmtId=\"0\"/>"
            + IntStream.range(0, codes.size()).mapToObj(i -> "<xf numFmtId=\"" + (codes.get(i).matches("[0-9]+id")
                ? codes.get(i).replace("id", "") : String.valueOf(200 + i)) + "\"/>").collect(Collectors.joining())
            + "</cellXfs></styleSheet>";
    }

    private static String type(String part, String kind) {
        return "<Override PartName=\"" + part + "\" ContentType=\"application/vnd.openxmlformats-officedocument."
            + "spreadsheetml." + kind + "+xml\"/>";
    }

    private static String numbered(List<String> names, IntFunction<String> part) {
        return IntStream.rangeClosed(1, names.size()).mapToObj(part).collect(Collectors.joining());
    }

    private static Path zip(Path file, Map<String, String> parts) {
        try (var zip = new ZipOutputStream(Files.newOutputStream(file))) {
            for (var part : parts.entrySet()) {
                zip.putNextEntry(new ZipEntry(part.getKey()));
                zip.write(("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + part.getValue()).getBytes(UTF_8));
            }
            return file;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns a row of text cells, in columns A and so on; one that is XML stands as it is. */
    public static String row(int number, String... cells) {
        var row = new StringBuilder("<row r=\"" + number + "\">");
        for (int i = 0; i < cells.length; i++) {
            var at = " r=\"" + (char) ('A' + i) + number + "\"";
            if (cells[i].startsWith("<c")) row.append(cells[i].replaceFirst("<c", "<c" + at));
            else if (!cells[i].isEmpty()) row.append("<c" + at + " t=\"inlineStr\"><is><t>" + cells[i]
                + "</t></is></c>");
        }
        return row + "</row>";
    }

    /** Returns a number in this style. */
    public static String number(String number, int style) { return "<c s=\"" + style + "\"><v>" + number + "</v></c>"; }

    /** Returns the XML of a part of a workbook. */
    public static String part(Path file, String name) throws IOException {
        try (var zip = new ZipFile(file.toFile())) {
            return new String(zip.getInputStream(zip.getEntry(name)).readAllBytes(), UTF_8);
        }
    }
}
