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
        var who = WHO.matcher(place());
        return who.find() ? who.group(1) + place().substring(who.end()) : place();
    }

    private String place() { return url.replaceFirst("(?s)[?;].*", ""); }

    @Override public String toString() { return shown(); }

    /** Returns what somebody says of this database, without a password. */
    String told(String text) {
        var told = text.replace(url, shown());
        for (var secret : secrets()) told = told.replace(secret, "***");
        return told;
    }

    private List<String> secrets() {
        var secrets = SECRET.matcher(url).results().map(found -> found.group(1)).collect(Collectors.toList());
        var who = WHO.matcher(place());
        if (who.find()) secrets.addAll(List.of(who.group(2), who.group(2).replaceFirst("^[^:/]*[:/]", "")));
        secrets.add(Environment.get(PASSWORD));
        var all = new ArrayList<>(secrets);
        for (var secret : secrets) all.add(decoded(secret));
        all.removeIf(String::isEmpty);
        return all;
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text.replaceAll("%(?![0-9A-Fa-f]{2})", "%25").replace("+", "%2B"),
            StandardCharsets.UTF_8);
    }

    /**
     * Says so if a database that is a file is not there: who opens it makes one, and would find no table in it.
     * @throws IllegalArgumentException if there is no such file
     */
    void checkFile(String word) {
        var file = place().replaceFirst("^jdbc:\\w+:", "");
        boolean isFile = (is("sqlite") || is("duckdb")) && !file.isBlank() && !file.matches("(?s)(:|file:|md:).*");
        if (isFile) InputFile.find(word, file);
    }

    /** @throws UncheckedIOException if it cannot be reached, or does not let this user in */
    Connection open(String word, Properties properties) {
        try {
            if (DriverManager.drivers().noneMatch(this::accepts))
                throw new IllegalArgumentException(word + ": no JDBC driver for jdbc:" + product()
                    + ": is on the class path; " + Wording.DRIVER);
            var address = address(properties);
            addUser(properties);
            return DriverManager.getConnection(address, properties);
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

    /** PostgreSQL's driver takes who stands before the @ for a part of the host's name, and asks the network for it. */
    private String address(Properties properties) {
        var who = WHO.matcher(place());
        if (!is("postgresql") || !who.find()) return url;
        var named = who.group(2).split(":", 2);
        properties.setProperty("user", decoded(named[0]));
        if (named.length > 1) properties.setProperty("password", decoded(named[1]));
        return who.group(1) + url.substring(who.end());
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
