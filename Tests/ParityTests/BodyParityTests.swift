import Foundation
import TestSupport
import Testing

/// Bodies, limits and settings that come with a request, and what kind of PHP answers it.
@Suite(.daemons, .needsReference)
struct BodyParityTests {
    private static let pool = "pm = static\npm.max_children = 1\n"

    // MARK: Bodies

    @Test func bodies() throws {
        let pair = try Pair(Self.pool)
        let form = "application/x-www-form-urlencoded"
        let boundary = "multipart/form-data; boundary=B"
        let parts =
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
            + "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/x\r\n\r\nfile\r\n"
        try pair.compare([
            Case(name: "form", script: "/input.php", body: "a=1&b[x]=2&c=%zz", contentType: form),
            Case(
                name: "form with charset",
                script: "/input.php",
                body: "a=1",
                contentType: form + "; charset=utf-8"
            ),
            Case(name: "PUT form", script: "/input.php", method: "PUT", body: "a=1", contentType: form),
            Case(
                name: "GET with body",
                script: "/input.php",
                method: "GET",
                body: "a=1",
                contentType: form
            ),
            Case(name: "JSON", script: "/input.php", body: "{\"a\":1}", contentType: "application/json"),
            Case(name: "no type", script: "/input.php", body: "a=1"),
            Case(name: "upload", script: "/input.php", body: parts + "--B--\r\n", contentType: boundary),
            Case(name: "upload cut off", script: "/input.php", body: parts, contentType: boundary),
            Case(
                name: "upload without boundary",
                script: "/input.php",
                body: parts,
                contentType: "multipart/form-data"
            ),
            Case(name: "empty upload", script: "/input.php", body: "--B--\r\n", contentType: boundary),
            Case(
                name: "many fields",
                script: "/input.php",
                body: (0..<1200).map { "f\($0)=1" }.joined(separator: "&"),
                contentType: form
            ),
            Case(
                name: "too large",
                script: "/input.php",
                headers: ["PHP_ADMIN_VALUE": "post_max_size = 10"],
                body: "a=123456789012345",
                contentType: form
            ),
        ]
        )
    }

    /// A body of unknown length, as Caddy sends it.
    ///
    /// php-fpm reads on for the length's sake until the client closes.
    @Test func negativeLength() throws {
        let pair = try Pair(Self.pool + "php_admin_value[post_max_size] = 200\n")
        func answer(_ daemon: Daemon, _ body: String, _ type: String) throws -> String {
            var request = daemon.makeRequest("/input.php", body: Array(body.utf8), contentType: type)
            request.set("CONTENT_LENGTH", "-1")
            let connection = try daemon.connect()
            try connection.send(request.bytes)
            if daemon.program != .underTest { connection.finishSending() }
            let response = try connection.readResponse()
            return normalise(response.text + response.errors, of: daemon)
        }
        let form = "application/x-www-form-urlencoded"
        for (body, type) in [
            ("a=1&b=2", form), ("", form), ("{}", "application/json"),
            ("a=" + String(repeating: "1", count: 300), form),
        ] {
            let expected = try answer(pair.reference, body, type)
            expectSame("\(type), \(body.utf8.count)", "body", expected, try answer(pair.subject, body, type))
        }
    }

    @Test func limits() throws {
        let pair = try Pair(
            Self.pool
                + "php_admin_value[post_max_size] = 200\nphp_admin_value[max_input_vars] = 3\nphp_admin_value[max_multipart_body_parts] = 2\n"
        )
        let form = "application/x-www-form-urlencoded"
        let part = { (name: String) in "--B\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n1\r\n"
        }
        try pair.compare([
            Case(
                name: "too large",
                script: "/input.php",
                body: String(repeating: "a", count: 300),
                contentType: form
            ),
            Case(
                name: "too many variables",
                script: "/input.php",
                query: "a=1&b=2&c=3&d=4",
                body: "a=1&b=2&c=3&d=4",
                contentType: form
            ),
            Case(
                name: "too many parts",
                script: "/input.php",
                body: part("a") + part("b") + part("c") + "--B--\r\n",
                contentType: "multipart/form-data; boundary=B"
            ),
        ]
        )
    }

    // MARK: Settings

    @Test func settingsThroughParameters() throws {
        let pair = try Pair(Self.pool + "php_value[precision] = 5\nphp_admin_value[memory_limit] = 64M\n")
        let names = "names=precision,memory_limit,html_errors,disable_functions,user_agent"
        for (name, value) in [
            ("one", "precision = 9"), ("several", "precision = 9\nhtml_errors = on\n"),
            ("quoted", "user_agent = \"a b\""),
            ("unknown", "no_such = 1"), ("section", "[a]\nprecision = 9"), ("array", "a[] = 1"),
            ("empty value", "precision ="),
            ("no value", "precision"), ("comment", "; comment\nprecision = 3"), ("empty", ""),
            ("syntax", "precision = ="),
            ("constant", "error_reporting = E_ALL"),
        ] {
            for parameter in ["PHP_VALUE", "PHP_ADMIN_VALUE"] {
                // A pair of its own: php-fpm keeps the settings for later requests.
                let own =
                    name == "unknown"
                    ? pair
                    : try Pair(Self.pool + "php_value[precision] = 5\nphp_admin_value[memory_limit] = 64M\n")
                try own.compare([
                    Case(
                        name: "\(parameter) \(name)",
                        script: "/settings.php",
                        query: names + "&set=7",
                        headers: [parameter: value]
                    )
                ]
                )
            }
        }
        try pair.compare([
            Case(
                name: "PHP_VALUE before",
                script: "/settings.php",
                query: names,
                headers: ["PHP_VALUE": "html_errors = 1"]
            ),
            Case(name: "PHP_VALUE afterwards", script: "/settings.php", query: names),
        ]
        )
    }

    @Test func whatKindOfPHPThisIs() throws {
        let pair = try Pair(Self.pool)
        let expected = try pair.reference.get("/server-info.php").json
        let actual = try pair.subject.get("/server-info.php").json
        for (key, value) in expected where key != "ini" {
            expectSame(key == "binary" ? "PHP_BINARY" : key, "body", describe(value), describe(actual[key]))
        }
        let expectedIni = expected["ini"] as? [String: Any] ?? [:]
        let actualIni = actual["ini"] as? [String: Any] ?? [:]
        #expect(expectedIni.count > 100)
        for name in Set(expectedIni.keys).union(actualIni.keys).sorted() {
            expectSame("ini \(name)", "body", describe(expectedIni[name]), describe(actualIni[name]))
        }
    }

    private func describe(_ value: Any?) -> String {
        guard let value else { return "nothing" }
        let data = try? JSONSerialization.data(
            withJSONObject: value,
            options: [.sortedKeys, .fragmentsAllowed, .withoutEscapingSlashes]
        )
        return data.map { String(decoding: $0, as: UTF8.self) } ?? "\(value)"
    }
}
