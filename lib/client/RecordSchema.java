package sheaf;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.github.victools.jsonschema.generator.CustomDefinition;
import com.github.victools.jsonschema.generator.CustomDefinition.AttributeInclusion;
import com.github.victools.jsonschema.generator.CustomDefinition.DefinitionType;
import com.github.victools.jsonschema.generator.MemberScope;
import com.github.victools.jsonschema.generator.Option;
import com.github.victools.jsonschema.generator.OptionPreset;
import com.github.victools.jsonschema.generator.SchemaGenerator;
import com.github.victools.jsonschema.generator.SchemaGeneratorConfigBuilder;
import com.github.victools.jsonschema.generator.SchemaVersion;
import com.github.victools.jsonschema.module.jackson.JacksonModule;
import java.lang.reflect.RecordComponent;
import java.util.List;
import java.util.stream.Stream;

/**
 * The JSON schema of a Java record, as OpenAI's strict mode takes it: every field is required, an optional one may be
 * null, and no others are permitted. Names and remarks are Jackson's.
 */
final class RecordSchema {
    /** Of SLF4J 2: what it says itself. The generator would log, and mostly nobody has given it where to. */
    private static final String LOGGER_SAYS = "slf4j.internal.verbosity";

    private RecordSchema() {}

    static JsonNode of(Class<?> type) {
        if (System.getProperty(LOGGER_SAYS) == null) System.setProperty(LOGGER_SAYS, "ERROR");
        var config = new SchemaGeneratorConfigBuilder(SchemaVersion.DRAFT_2020_12, OptionPreset.PLAIN_JSON)
            .without(Option.SCHEMA_VERSION_INDICATOR)
            .with(Option.FORBIDDEN_ADDITIONAL_PROPERTIES_BY_DEFAULT, Option.FLATTENED_OPTIONALS)
            .with(new JacksonModule());
        config.forFields().withRequiredCheck(field -> true);
        config.forTypesInGeneral().withPropertySorter((one, other) -> Integer.compare(place(one), place(other)))
            .withCustomDefinitionProvider((any, context) -> definition(any.getErasedType()));
        var schema = new SchemaGenerator(config.build()).generateSchema(type);
        schema.findParents("additionalProperties").stream().filter(any -> any.has("anyOf"))
            .forEach(any -> ((ObjectNode) any).remove("additionalProperties"));     // which is said of no object
        return schema;
    }

    /** The JVM promises an order of a record's components, and none of its fields. */
    private static int place(MemberScope<?, ?> field) {
        var components = field.getDeclaringType().getErasedType().getRecordComponents();
        return components == null ? 0 : Stream.of(components).map(RecordComponent::getName).toList()
            .indexOf(field.getDeclaredName());
    }

    /** The constants of an enum stand where it is used, by the names that Jackson reads. */
    private static CustomDefinition definition(Class<?> type) {
        if (!type.isEnum()) return null;
        var schema = Json.MAPPER.createObjectNode().put("type", "string");
        schema.set("enum", Json.MAPPER.valueToTree(List.of(type.getEnumConstants())));
        return new CustomDefinition(schema, DefinitionType.INLINE, AttributeInclusion.YES);
    }
}
