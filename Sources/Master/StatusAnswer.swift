internal import CEpoll
public import Configuration
internal import FastCGI
internal import Glibc
internal import Scoreboard
internal import StatusPage

/// What PHP would add to a page's headers.
public struct PageFacts {
    /// Value of `X-Powered-By`; nil when `expose_php` is off.
    public var poweredBy: ByteString?
    /// `default_charset`; empty sends none.
    public var charset: ByteString

    /// Facts as given.
    public init(poweredBy: ByteString?, charset: ByteString) {
        self.poweredBy = poweredBy
        self.charset = charset
    }
}

/// The pages of a pool that the master answers: on `pm.status_listen` status, ping, and 404 for anything else; on the pool's
/// own address status and ping while all workers are busy.
final class StatusAnswer {
    private let settings: PoolSettings
    private let scoreboard: Scoreboard
    /// What PHP would add to the headers; the pool's zygote says it.
    var facts: PageFacts
    /// Called before the status page is made: brings its figures up to date.
    var refresh: () -> Void = {}

    init(
        settings: PoolSettings,
        scoreboard: Scoreboard,
        facts: PageFacts = PageFacts(poweredBy: nil, charset: "UTF-8")
    ) {
        self.settings = settings
        self.scoreboard = scoreboard
        self.facts = facts
    }

    private struct Page {
        var status: StaticString?
        var headers: [ByteString]
        var body: [UInt8]
        /// PHP adds the type only when it sends the headers: the access log does not see it.
        var hasDefaultType = false
    }

    private static let expires: ByteString = "Expires: Thu, 01 Jan 1970 00:00:00 GMT"
    private static let cacheControl: ByteString =
        "Cache-Control: no-cache, no-store, must-revalidate, max-age=0"

    /// The records that answer a request on `pm.status_listen`: 404 for what is neither status nor ping.
    func response(to table: inout ParameterTable, requestID: UInt16) -> [UInt8] {
        let target = RequestTarget(&table)
        return render(page(for: target, table) ?? notFound, table, requestID)
    }

    /// The answer to a request for status or ping on the pool's own address; nil for any other request.
    func ownResponse(
        to target: RequestTarget,
        _ table: borrowing ParameterTable,
        requestID: UInt16
    ) -> OwnAnswer? {
        guard let page = page(for: target, table) else { return nil }
        let poweredBy = facts.poweredBy.map { ["X-Powered-By: " + $0] } ?? []
        return OwnAnswer(
            records: render(page, table, requestID),
            status: 200,
            headers: poweredBy + page.headers
        )
    }

    private func render(_ page: Page, _ table: borrowing ParameterTable, _ requestID: UInt16) -> [UInt8] {
        var page = page
        let method = table.value(of: "REQUEST_METHOD").map { table.bytes(of: $0) } ?? []
        if method == Array("HEAD".utf8) { page.body = [] }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(page.body.count + 512)
        func line(_ text: ByteString) { bytes += text.bytes + [13, 10] }
        if let status = page.status { line("Status: \(status.description)") }
        if let poweredBy = facts.poweredBy { line("X-Powered-By: \(poweredBy)") }
        for header in page.headers { line(header) }
        if page.hasDefaultType { line(defaultType) }
        bytes += [13, 10]
        bytes += page.body
        return framedResponse(bytes, requestID: requestID)
    }

    /// The record that answers GET_VALUES; nil when the question is malformed.
    static func valuesResult(_ content: Span<UInt8>) -> [UInt8]? {
        withUnsafeTemporaryAllocation(byteCount: GetValues.maximumResult, alignment: 8) { memory in
            guard let length = try? GetValues.writeResult(for: content, in: memory) else { return nil }
            return Array(memory[0..<length])
        }
    }

    private func page(for target: RequestTarget, _ table: borrowing ParameterTable) -> Page? {
        guard target.namesScript, table.value(of: "REQUEST_METHOD") != nil, let path = target.uri else {
            return nil
        }
        if let ping = settings.pingPath, !ping.isEmpty, path == ping {
            return Page(
                headers: [typed("text/plain"), Self.expires, Self.cacheControl],
                body: (settings.pingResponse ?? "pong").bytes
            )
        }
        guard let status = settings.statusPath, !status.isEmpty, path == status else { return nil }
        return statusPage(table)
    }

    private func statusPage(_ table: borrowing ParameterTable) -> Page {
        let method = table.value(of: "REQUEST_METHOD").map { table.bytes(of: $0) } ?? []
        if method == Array("HEAD".utf8) {
            return Page(headers: [Self.expires, Self.cacheControl], body: [], hasDefaultType: true)
        }
        var wanted =
            table.value(of: "QUERY_STRING").map { table.withBytes(of: $0) { StatusQuery($0) } }
            ?? StatusQuery()
        if let accept = table.value(of: "HTTP_ACCEPT") {
            table.withBytes(of: accept) { wanted.adapt(toAccept: $0) }
        }
        refresh()
        let style = (settings.processManager ?? .static).name
        let page = scoreboard.statusPage(
            wanted,
            pool: settings.name.bytes,
            processManager: Array(style.utf8)
        )
        let type: ByteString =
            switch wanted.format {
            case .text, .html, .xml: typed(wanted.format.contentType)
            case .json, .openMetrics: "Content-Type: \(wanted.format.contentType.description)"
            }
        return Page(headers: [Self.expires, Self.cacheControl, type], body: page.render(wanted))
    }

    private var notFound: Page {
        Page(
            status: "404 Not Found",
            headers: [],
            body: Array("File not found.\n".utf8),
            hasDefaultType: true
        )
    }

    /// The header that PHP makes of a text type: its own spelling, and the charset.
    private func typed(_ type: StaticString) -> ByteString {
        "Content-type: \(type.description)" + (facts.charset.isEmpty ? "" : ";charset=" + facts.charset)
    }

    /// The type of a page that has not chosen one.
    private var defaultType: ByteString {
        "Content-type: text/html" + (facts.charset.isEmpty ? "" : "; charset=" + facts.charset)
    }
}

@available(*, unavailable)
extension StatusAnswer: Sendable {}
