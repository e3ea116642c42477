package sheaf.model;

import java.util.HashMap;
import java.util.Map;

/** Settings that a test makes, by system properties, which come before the environment; an empty one is not set. */
final class Settings {
    private final Map<String, String> replaced = new HashMap<>();   // as they were; null if there was none

    void set(String name, Object value) {
        replaced.putIfAbsent(name, System.getProperty(name));
        System.setProperty(name, value.toString());
    }

    void restore() {
        replaced.forEach((name, value) -> {
            if (value == null) System.clearProperty(name);
            else System.setProperty(name, value);
        });
        replaced.clear();
    }
}
