package sheaf.commands;

import java.time.Duration;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** A time as it is typed: 30s, 10m, 12h or 7d. */
final class TimeConverter implements ITypeConverter<Duration> {
    @Override public Duration convert(String text) {
        if (!text.matches("[0-9]{1,5}[smhd]"))
            throw new TypeConversionException("'" + text + "' is no time such as 30s, 10m, 12h or 7d");
        long number = Long.parseLong(text.substring(0, text.length() - 1));
        return switch (text.charAt(text.length() - 1)) {
            case 's' -> Duration.ofSeconds(number);
            case 'm' -> Duration.ofMinutes(number);
            case 'h' -> Duration.ofHours(number);
            default -> Duration.ofDays(number);
        };
    }
}
