//SOURCES Sheaf.java
//SOURCES excel/CellFormat.java excel/ExcelText.java excel/ExcelSheet.java excel/ExcelExport.java
//DEPS org.dhatim:fastexcel:0.20.2
//DEPS org.dhatim:fastexcel-reader:0.20.2

package sheaf;

import static sheaf.Messages.given;

import java.nio.file.Path;
import sheaf.Sheaf.Data;
import sheaf.Sheaf.Dataset;
import sheaf.Sheaf.Results;

/**
 * Rows of Excel files (.xlsx), and answers as one.
 * <pre>{@code
 * import static sheaf.Sheaf.*;
 * import static sheaf.Excel.*;
 *
 * var results = batch().model("gpt-4.1-mini").prompts("Genre of {{title}}?", excel("films.xlsx", "Films"))
 *     .submit().results();
 * toExcel(results, "films-labelled.xlsx");
 * }</pre>
 * A value is what a person sees in the sheet: 25% is 25%, 0.1+0.2 is 0.3, 007 is 007, a formula is what it came to. A
 * date is in ISO 8601, whatever the country. An error such as #N/A is a missing value, an empty cell an empty text.
 */
public final class Excel {
    private Excel() {}

    /** Returns the rows of the first sheet; its first row that is not blank names the columns. */
    public static Data excel(String file) { return excel(file, ""); }

    /** Returns the rows of the first sheet. */
    public static Data excel(Path file) { return excel(given(ExcelSheet.WORD, file).toString()); }

    /**
     * Returns the rows of the sheet of this name.
     * @throws IllegalArgumentException when they are read, if there is no such sheet, two columns have one name, or a
     *     column with values has none
     */
    public static Data excel(String file, String sheet) {
        given(ExcelSheet.WORD, sheet);
        return new Dataset(new ExcelSheet(InputFile.find(ExcelSheet.WORD, file), sheet).rows());
    }

    /** Returns the rows of the sheet of this name. */
    public static Data excel(Path file, String sheet) { return excel(given(ExcelSheet.WORD, file).toString(), sheet); }

    /**
     * Writes the rows and their answers as an Excel file: those columns, else all that toCsv writes. A text that is too
     * long for a cell, 32,767 characters, goes on in a second sheet. A file that is there is written anew if a batch of
     * this name wrote it and nobody changed it since.
     * @throws IllegalStateException if the file is another's, or there are more results than a sheet has rows
     */
    public static void toExcel(Results results, String file, String... columns) {
        toExcel(results, Path.of(given(ExcelExport.WORD, file)), columns);
    }

    /** Writes the rows and their answers as an Excel file. */
    public static void toExcel(Results results, Path file, String... columns) {
        given(ExcelExport.WORD, file);
        var export = new ExcelExport(given(ExcelExport.WORD, results).exchanges, columns);
        results.written.write(Wording.EXCEL.of(), file, export::writeTo);
    }
}
