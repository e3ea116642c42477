package sheaf;

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
    @Test void everyPointOfTheServersChecklistHasATest() {
        var plan = LauncherFactory.create().discover(LauncherDiscoveryRequestBuilder.request()
            .selectors(selectPackage("sheaf")).build());

        var missing = IntStream.rangeClosed(1, 30).mapToObj(number -> "S" + number)
            .filter(point -> !tags(plan).contains(point)).toList();

        assertEquals(List.of(), missing);
    }

    static TreeSet<String> tags(TestPlan plan) {
        return plan.getRoots().stream().flatMap(root -> plan.getDescendants(root).stream())
            .map(TestIdentifier::getTags).flatMap(tags -> tags.stream().map(TestTag::getName))
            .collect(Collectors.toCollection(TreeSet::new));
    }
}
