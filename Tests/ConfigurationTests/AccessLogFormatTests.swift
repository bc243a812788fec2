import Testing

@testable import Configuration

@Suite struct AccessLogFormatTests {
    @Test func readsTheDefault() throws {
        let format = try AccessLogFormat("%R - %u %t \"%m %r\" %s")
        #expect(
            format.tokens == [
                .remoteAddress, .literal(" - "), .remoteUser, .literal(" "),
                .acceptTime(format: "%d/%b/%Y:%H:%M:%S %z"), .literal(" \""), .method, .literal(" "), .uri,
                .literal("\" "), .status,
            ]
        )
    }

    @Test(
        arguments: [
            ("a%%b", [.literal("a%b")]),
            ("%C%{user}C%{SYSTEM}C", [.cpu(.total), .cpu(.user), .cpu(.system)]),
            (
                "%d%{mili}d%{Micro}d",
                [.duration(.seconds), .duration(.milliseconds), .duration(.microseconds)]
            ),
            (
                "%M%{kilo}M%{megabytes}M",
                [.memoryPeak(.bytes), .memoryPeak(.kilobytes), .memoryPeak(.megabytes)]
            ),
            ("%{A_B}e%{Content-type}o", [.parameter("A_B"), .responseHeader("Content-type")]),
            ("%{%s}t%{%Y}T", [.acceptTime(format: "%s"), .logTime(format: "%Y")]),
            (
                "%{}t%{}T",
                [
                    .acceptTime(format: "%d/%b/%Y:%H:%M:%S %z"), .logTime(format: "%d/%b/%Y:%H:%M:%S %z"),
                ]
            ),
            (
                "%f%l%n%p%P%q%Q",
                [.script, .contentLength, .poolName, .workerID, .masterID, .queryString, .queryMark]
            ),
            ("end%", [.literal("end")]),
            ("", []),
        ] as [(String, [AccessLogFormat.Token])]
    )
    func readsTokens(_ text: String, _ tokens: [AccessLogFormat.Token]) throws {
        #expect(try AccessLogFormat(ByteString(text)).tokens == tokens)
    }

    @Test(arguments: [
        ("%Z", "Invalid token in the access.format (%Z)"),
        ("%{a}", "missing closing embrace in the access.format"),
        ("%{a", "missing closing embrace in the access.format"),
        ("%{a}m", "embrace is not allowed for modifier %m"),
        ("%e", "the name of the environment variable must be set between embraces for %e"),
        ("%o", "the name of the header must be set between embraces for %o"),
    ])
    func refuses(_ text: String, _ message: String) {
        #expect(throws: AccessLogFormat.Problem(message: ByteString(message))) {
            try AccessLogFormat(ByteString(text))
        }
    }
}
