package sheaf.house;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectPackage;

import java.util.List;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.platform.engine.TestTag;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** The points of the conformance checklist; a test that proves one bears its number as a tag. */
class ConformanceTest {
    @Test void everyPointOfTheClientsChecklistHasATest() { assertEquals(List.of(), missing("C", 40)); }

    @Test void everyPointOfTheServersChecklistHasATest() { assertEquals(List.of(), missing("S", 30)); }

    private static List<String> missing(String letter, int last) {
        var plan = LauncherFactory.create().discover(LauncherDiscoveryRequestBuilder.request()
            .selectors(selectPackage("sheaf")).build());
        var tags = tags(plan);
        return IntStream.rangeClosed(1, last).mapToObj(number -> letter + number)
            .filter(point -> !tags.contains(point)).toList();
    }

    static TreeSet<String> tags(TestPlan plan) {
        return plan.getRoots().stream().flatMap(root -> plan.getDescendants(root).stream())
            .map(TestIdentifier::getTags).flatMap(tags -> tags.stream().map(TestTag::getName))
            .collect(Collectors.toCollection(TreeSet::new));
    }
}
