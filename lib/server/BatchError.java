package sheaf.server;

import com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * Why an input file is refused: OpenAI's BatchError. It knows nothing of the file; {@code line} is null if the fault
 * concerns all of it.
 */
record BatchError(String code, String message, String param, Integer line) {
    static final BatchError BYTE_ORDER_MARK =
        notJson("The file starts with a byte order mark (BOM); save it as UTF-8 without one.");

    static BatchError of(String code, String param, String message) {
        return new BatchError(code, message, param, null);
    }

    static BatchError missing(String param) {
        return of("missing_required_parameter", param, "Missing required parameter: '" + param + "'.");
    }

    static BatchError invalid(String param, String message) { return of("invalid_request", param, message); }

    static BatchError notJson(String message) { return of("invalid_json_line", null, message); }

    BatchError at(int number) { return new BatchError(code, message, param, number); }

    ObjectNode json() {
        return Json.object().put("code", code).put("message", message).put("param", param).put("line", line);
    }
}
