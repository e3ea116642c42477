package sheaf;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * How a sheet shows a number: as what a person sees there, but that a date is in ISO 8601 whatever the country, and
 * that digits stand in no groups.
 * @see <a href="https://support.microsoft.com/office/number-format-codes">Excel's number format codes</a>
 */
record CellFormat(String code, boolean from1904) {
    private static final int DIGITS = 15;                      // that Excel has and shows
    private static final int SECONDS = 86_400;                 // of a day
    private static final Pattern ASIDE = Pattern.compile("\"[^\"]*\"|\\\\.|[_*].|\\[(?!h+]|m+]|s+])[^\\]]*]");
    private static final Pattern ELAPSED = Pattern.compile("\\[(h+|m+|s+)]");
    private static final Pattern PERCENT = Pattern.compile("[0#,]*(?:\\.([0#]+))?%");
    private static final Pattern ZEROS = Pattern.compile("0{2,}");
    private static final Pattern DECIMALS = Pattern.compile("[#0,]*[0#](?:\\.(0+))?");
    private static final LocalDate EPOCH = LocalDate.of(1899, 12, 30), EPOCH_1904 = LocalDate.of(1904, 1, 1);
    private static final int BEFORE_THE_LEAP_DAY = 60;         // that 1900 has in Excel, and nowhere else

    /** Returns a number, or the text that stands for it. */
    Object shown(BigDecimal number) {
        var plain = ASIDE.matcher(code == null ? "" : code.replaceFirst(";.*", "")).replaceAll("")
            .toLowerCase(Locale.ROOT).strip();
        if (ELAPSED.matcher(plain).find()) return elapsed(number);
        if (!plain.contains("general") && plain.matches(".*[ydhsm].*")) return time(number, plain);
        var percent = PERCENT.matcher(plain);
        if (percent.matches()) return percent(number, percent.group(1));
        if (ZEROS.matcher(plain).matches() && number.signum() >= 0) return padded(number, plain.length());
        var decimals = DECIMALS.matcher(plain);
        return decimals.matches() ? rounded(number, decimals.group(1)) : general(number);
    }

    /** A sum of 0.1 and 0.2 is 0.3 there, and a 1.0 is 1; a long number that another program wrote stays whole. */
    private static BigDecimal general(BigDecimal number) {
        var plain = (number.scale() == 0 ? number : number.round(new MathContext(DIGITS))).stripTrailingZeros();
        return plain.scale() < 0 ? plain.setScale(0) : plain;
    }

    private static BigDecimal rounded(BigDecimal number, String decimals) {
        return general(general(number).setScale(decimals == null ? 0 : decimals.length(), RoundingMode.HALF_UP));
    }

    private static String percent(BigDecimal number, String decimals) {
        int scale = decimals == null ? 0 : decimals.length();
        return general(number).movePointRight(2).setScale(scale, RoundingMode.HALF_UP).toPlainString() + "%";
    }

    private static String padded(BigDecimal number, int digits) {
        var text = number.setScale(0, RoundingMode.HALF_UP).toPlainString();
        return "0".repeat(Math.max(0, digits - text.length())) + text;
    }

    private static String elapsed(BigDecimal number) {
        long seconds = seconds(number.abs());
        return (number.signum() < 0 ? "-" : "") + String.format(Locale.ROOT, "%d:%02d:%02d", seconds / 3600,
            seconds / 60 % 60, seconds % 60);
    }

    private static long seconds(BigDecimal days) {
        return days.multiply(BigDecimal.valueOf(SECONDS)).setScale(0, RoundingMode.HALF_UP).longValue();
    }

    private Object time(BigDecimal number, String plain) {
        long seconds = seconds(number), days = Math.floorDiv(seconds, (long) SECONDS);
        if (number.signum() < 0 || days > 3_000_000) return general(number);      // which a sheet shows as ####
        boolean hasClock = plain.matches(".*[hs].*"), hasDay = plain.matches(".*[yd].*") || !hasClock;
        long since = !from1904 && days < BEFORE_THE_LEAP_DAY ? days + 1 : days;
        var day = (from1904 ? EPOCH_1904 : EPOCH).plusDays(since);
        var time = LocalDateTime.of(day, LocalTime.ofSecondOfDay(Math.floorMod(seconds, (long) SECONDS)));
        if (!hasClock) return day.toString();
        return (hasDay ? DateTimeFormatter.ISO_LOCAL_DATE_TIME : DateTimeFormatter.ISO_LOCAL_TIME).format(time);
    }
}
