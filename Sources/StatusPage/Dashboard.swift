/// A live page of pools: figures, plots, workers.
///
/// It needs nothing from elsewhere, and shows its figures without a script too.
/// The script asks for `?json&full&figures` of the same address every two seconds.
public struct Dashboard: Sendable {
    /// More pools than these are not shown; the busiest are.
    public static let poolLimit = 50

    /// What the browser may do on this page: run this script, apply this style, ask this server.
    ///
    /// The hashes are those of ``script`` and ``style`` between their tags; a test compares.
    public static let contentSecurityPolicy: StaticString =
        "default-src 'none'; script-src 'sha256-ZsdxFsz3YlVP9ExCgIKgBMEoyhH++wC+TGDde+vGuIM='; style-src 'sha256-N3Tm7JWOpicNbqKwUHD4/xMFqNwrdQlbtC1AXBGeD2Y='; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"

    /// How many pools there are; only some of them may be shown.
    public var poolCount: Int
    /// Version of the service, if it is known.
    public var version: [UInt8]
    /// The name of the only pool, if there is one.
    public var onlyPool: [UInt8]

    /// A dashboard of so many pools.
    public init(poolCount: Int, onlyPool: [UInt8] = [], version: [UInt8] = []) {
        self.poolCount = poolCount
        self.onlyPool = onlyPool
        self.version = version
    }

    /// The page up to its pools; their sections and ``tail`` follow.
    public var head: [UInt8] {
        var page: [UInt8] = []
        page.append(
            """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8">
            <meta http-equiv="Content-Security-Policy" content="
            """
        )
        page.append(Self.contentSecurityPolicy)
        page.append(
            """
            ">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <link rel="icon" href="data:,">
            <title>fpmd
            """
        )
        if !onlyPool.isEmpty {
            page.append(": ")
            page.append(onlyPool, .markup)
        }
        page.append("</title>\n<style>")
        page.append(Self.style)
        page.append("</style></head>\n<body><header><h1><span class=\"dot\"></span>fpmd ")
        page.append(version, .markup)
        page.append("</h1><p id=\"clock\">as of now; reload the page for newer figures</p></header>\n<main>")
        return page
    }

    /// One pool, as tables that a script replaces.
    public func section(_ pool: StatusPage) -> [UInt8] {
        var page: [UInt8] = []
        pool.appendSection(to: &page)
        return page
    }

    /// The end of the page.
    public var tail: [UInt8] {
        var page: [UInt8] = []
        page.append("</main>\n<script>")
        page.append(Self.script)
        page.append("</script></body></html>\n")
        return page
    }

    /// The data of a page with several pools, up to its pools: JSON with ``figures(_:)``, commas between, and
    /// ``dataTail``.
    public var dataHead: [UInt8] {
        var page: [UInt8] = []
        page.append("{\"version\":\"")
        page.append(version, .json)
        page.append("\",\"pool count\":")
        page.append(.count(UInt64(poolCount)))
        page.append(",\"pools\":[")
        return page
    }

    /// The data of one pool.
    public func figures(_ pool: StatusPage) -> [UInt8] {
        pool.render(StatusQuery(format: .json, isFull: true, hasFigures: true))
    }

    /// The end of the data.
    public var dataTail: [UInt8] { Array("]}".utf8) }
}

extension StatusPage {
    /// The figures as tables; a script replaces them.
    fileprivate func appendSection(to page: inout [UInt8]) {
        page.append("<section><h2>")
        page.append(pool.pool, .markup)
        page.append("</h2><div class=\"scroll\"><table>\n")
        appendPoolRows(to: &page)
        page.append("</table></div>\n<div class=\"scroll\"><table>\n")
        let shown: Set<String> = [
            "pid", "state", "requests", "request duration", "request method", "request uri", "script",
        ]
        appendRows(of: processes, to: &page) { shown.contains($0.name.description) }
        page.append("</table></div></section>\n")
    }
}

extension PoolFigures {
    /// The members of the JSON object `figures`.
    func appendJSON(to page: inout [UInt8]) {
        func counts(_ name: StaticString, _ numbers: [UInt64]) {
            page.append(",\"")
            page.append(name)
            page.append("\":[")
            for (position, number) in numbers.enumerated() {
                if position > 0 { page.append(",") }
                page.append(.count(number))
            }
            page.append("]")
        }
        func member(_ name: StaticString, _ value: SampleWriter.Value) {
            page.append(",\"")
            page.append(name)
            page.append("\":")
            page.append(value)
        }
        page.append("{\"max children\":")
        page.append(.count(maxChildren))
        member("saturation", .ratio(saturation))
        member("queue depth", .count(queue.depth))
        member("oldest wait", .count(queue.oldestWaitMicroseconds))
        counts("bounds", (0..<DurationHistogram.bucketCount).compactMap(DurationHistogram.bound(ofBucket:)))
        counts("service", totals.service.counts)
        member("service sum", .count(totals.service.sumMicroseconds))
        counts("wait", totals.wait.counts)
        member("wait sum", .count(totals.wait.sumMicroseconds))
        member("rejected", .count(totals.rejected))
        member("expired", .count(totals.expired))
        member("abandoned", .count(totals.abandoned))
        member("drained", .count(totals.drained))
        page.append(",\"exits\":{")
        for cause in WorkerExitCause.allCases {
            page.append(cause.rawValue == 0 ? "\"" : ",\"")
            page.append(cause.label)
            page.append("\":")
            page.append(.count(totals.exits[cause]))
        }
        page.append("}}")
    }
}
