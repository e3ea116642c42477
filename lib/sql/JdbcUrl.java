package sheaf;

import static sheaf.Messages.given;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.Driver;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Where a database is: it opens connections, and nothing that it says has a password in it. */
record JdbcUrl(String url) {
    /** Whoever gives no password in the URL may give it by these. */
    static final String USER = "SHEAF_DB_USER", PASSWORD = "SHEAF_DB_PASSWORD";
    private static final Pattern SECRET =
        Pattern.compile("(?i)[?;&][^=?;&]*(?:passw|pwd|pass|secret|token|key|credential)[^=?;&]*=([^;&]*)");
    private static final Pattern WHO = Pattern.compile("(jdbc:(?:\\w+:)*(?://)?)(.*)@");

    static JdbcUrl of(String word, String url) {
        if (given(word, url).matches("jdbc:\\w+:.*")) return new JdbcUrl(url);
        throw new IllegalArgumentException(word + ": the database is no JDBC URL, such as "
            + "jdbc:postgresql://localhost/shop or jdbc:sqlite:shop.db");
    }

    /** Returns what the URL says that it is: postgresql, sqlite, duckdb. */
    String product() { return url.split(":", 3)[1].toLowerCase(Locale.ROOT); }

    boolean is(String product) { return product().equals(product); }

    /** Returns the URL as it may be read by anybody: without who connects, and without all parameters. */
    String shown() {
        var place = url.replaceFirst("(?s)[?;].*", "");
        var who = WHO.matcher(place);
        return who.find() ? who.group(1) + place.substring(who.end()) : place;
    }

    @Override public String toString() { return shown(); }

    /** Returns what somebody says of this database, without a password. */
    String told(String text) {
        var told = text.replace(url, shown());
        for (var secret : secrets()) told = told.replace(secret, "***");
        return told;
    }

    private List<String> secrets() {
        var secrets = SECRET.matcher(url).results().map(found -> found.group(1)).collect(Collectors.toList());
        var who = WHO.matcher(url.replaceFirst("(?s)[?;].*", ""));
        if (who.find()) secrets.addAll(List.of(who.group(2), who.group(2).replaceFirst("^[^:/]*[:/]", "")));
        secrets.add(Environment.get(PASSWORD));
        var all = new ArrayList<>(secrets);
        for (var secret : secrets) all.add(URLDecoder.decode(secret.replaceAll("%(?![0-9A-Fa-f]{2})", "%25"),
            StandardCharsets.UTF_8));
        all.removeIf(String::isEmpty);
        return all;
    }

    /** @throws UncheckedIOException if it cannot be reached, or does not let this user in */
    Connection open(String word, Properties properties) {
        try {
            if (DriverManager.drivers().noneMatch(this::accepts))
                throw new IllegalArgumentException(word + ": no JDBC driver for jdbc:" + product()
                    + ": is on the class path; " + Wording.DRIVER);
            addUser(properties);
            return DriverManager.getConnection(url, properties);
        } catch (SQLException e) {
            throw new UncheckedIOException(word + ": cannot open " + shown() + " (" + sentence(e) + ")",
                new IOException(told(String.valueOf(e.getMessage()))));
        }
    }

    private boolean accepts(Driver driver) {
        try {
            return driver.acceptsURL(url);
        } catch (SQLException anothers) {
            return false;
        }
    }

    /** A file has no users. */
    private void addUser(Properties properties) {
        if (is("sqlite") || is("duckdb")) return;
        if (!Environment.get(USER).isEmpty()) properties.putIfAbsent("user", Environment.get(USER));
        if (!Environment.get(PASSWORD).isEmpty()) properties.putIfAbsent("password", Environment.get(PASSWORD));
    }

    /** Returns what the database says, on one line: without the place in the query, which is there to be seen. */
    String sentence(SQLException e) {
        var said = told(String.valueOf(e.getMessage())).replaceFirst("(?s)\\s*\\n\\s*(LINE \\d+:|Position:).*", "");
        return said.replaceFirst("^(java\\.sql\\.SQLException: )?[A-Z][A-Za-z ]* Error: ", "").strip()
            .replaceAll("\\s*\\n\\s*", "; ");
    }

    /** Returns what is thrown if a database refuses what it was told. */
    IllegalArgumentException refused(String word, SQLException e) {
        return new IllegalArgumentException(word + ": " + sentence(e),
            new SQLException(told(String.valueOf(e.getMessage())), e.getSQLState()));
    }
}
