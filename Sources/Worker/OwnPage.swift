internal import AccessLog
internal import CEpoll
internal import CPHP
internal import CScoreboard
internal import Channel
internal import Configuration
internal import FastCGI
internal import Glibc
internal import Scoreboard
internal import StatusPage
internal import Syscalls

/// A page that the worker answers itself in place of a script: ping or status.
struct OwnPage {
    /// In the order in which php-fpm sends them.
    var headers: [StaticString]
    var body: [UInt8]

    /// Sent with every such page: it is never to be cached.
    static let expires: StaticString = "Expires: Thu, 01 Jan 1970 00:00:00 GMT"
    static let cacheControl: StaticString = "Cache-Control: no-cache, no-store, must-revalidate, max-age=0"

    /// Lends the page to C.
    func withCPage<Result>(_ body: (fpmd_page) -> Result) -> Result {
        self.body.withUnsafeBufferPointer { bytes in
            withUnsafePointer(to: CChar(0)) { empty in
                func header(_ index: Int) -> UnsafePointer<CChar>? {
                    index < headers.count ? Self.text(headers[index]) : nil
                }
                let base = bytes.baseAddress.map { UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self) }
                return body(
                    fpmd_page(
                        headers: (header(0), header(1), header(2), nil),
                        status: 0,
                        body: base ?? empty,
                        body_length: bytes.count
                    )
                )
            }
        }
    }

    /// Static strings are NUL-terminated and never move.
    private static func text(_ string: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(string.utf8Start).assumingMemoryBound(to: CChar.self)
    }
}

extension RequestProcessor {
    /// The page for ping or status, if the request is for one of them.
    func ownPage(_ resolution: ScriptResolver.Resolution) -> OwnPage? {
        guard resolution.hasScriptParameter, let uri = resolution.requestURI else { return nil }
        let (isPing, isStatus) = table.withBytes(of: uri) { uri in
            (settings.pingPath.matches(uri), settings.statusPath.matches(uri))
        }
        if isPing {
            return OwnPage(
                headers: ["Content-Type: text/plain", OwnPage.expires, OwnPage.cacheControl],
                body: settings.plan.pingResponse.bytes
            )
        }
        guard isStatus else { return nil }
        // The request itself counts, and shows itself.
        publish(resolution)
        publishUserOfHeader()
        setStage(.executing)
        return statusPage()
    }

    /// PHP reads the header later, when the page is written already.
    private func publishUserOfHeader() {
        guard let header = table.value(of: "HTTP_AUTHORIZATION") else { return }
        let user = BasicAuthentication.user(of: table.bytes(of: header))
        user.withUnsafeBytes {
            let text = $0.bindMemory(to: CChar.self)
            cscoreboard_publish_user(slot, cscoreboard_bytes(text: text.baseAddress, length: text.count))
        }
    }

    private func statusPage() -> OwnPage {
        let isHead = table.value(of: "REQUEST_METHOD").map { table.bytes(of: $0) == Array("HEAD".utf8) }
        if isHead == true { return OwnPage(headers: [OwnPage.expires, OwnPage.cacheControl], body: []) }
        let query = table.value(of: "QUERY_STRING").map { table.withBytes(of: $0) { StatusQuery($0) } }
        var wanted = query ?? StatusQuery()
        if let accept = table.value(of: "HTTP_ACCEPT") {
            table.withBytes(of: accept) { wanted.adapt(toAccept: $0) }
        }
        let page = settings.scoreboard.statusPage(
            wanted,
            pool: settings.plan.pool.bytes,
            processManager: settings.plan.processManager.bytes
        )
        let type: StaticString =
            switch wanted.format {
            case .text: "Content-Type: text/plain"
            case .html: "Content-Type: text/html"
            case .xml: "Content-Type: text/xml"
            case .json: "Content-Type: application/json"
            case .openMetrics: "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        return OwnPage(headers: [OwnPage.expires, OwnPage.cacheControl, type], body: page.render(wanted))
    }

    /// The figures of the pool's page.
    func poolStatus() -> PoolStatus {
        settings.scoreboard.poolStatus(
            pool: settings.plan.pool.bytes,
            processManager: settings.plan.processManager.bytes
        )
    }
}
