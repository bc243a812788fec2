/// The status page of a pool, byte for byte as php-fpm 8.2 writes it, except that all strings are escaped.
public struct StatusPage: Sendable {
    /// The pool's figures.
    public var pool: PoolStatus
    /// The workers in slot order; shown by a full page only.
    public var processes: [ProcessStatus]

    /// What php-fpm does not know; shown by a page that asks for it.
    public var figures: PoolFigures?

    /// Makes a page.
    public init(pool: PoolStatus, processes: [ProcessStatus] = [], figures: PoolFigures? = nil) {
        self.pool = pool
        self.processes = processes
        self.figures = figures
    }

    /// The body of the answer to `query`.
    public func render(_ query: StatusQuery) -> [UInt8] {
        if query.isDashboard {
            let dashboard = Dashboard(poolCount: 1, onlyPool: pool.pool)
            return dashboard.head + dashboard.section(self) + dashboard.tail
        }
        let shown = query.isFull ? processes : nil
        var page: [UInt8] = []
        page.reserveCapacity(1536 + (shown?.count ?? 0) * 640)
        switch query.format {
        case .text: renderText(&page, shown)
        case .html: renderHTML(&page, shown)
        case .xml: renderXML(&page, shown)
        case .json: renderJSON(&page, shown, query.hasFigures ? figures : nil)
        case .openMetrics: renderOpenMetrics(&page)
        }
        return page
    }

    private func renderText(_ page: inout [UInt8], _ processes: [ProcessStatus]?) {
        page.appendTextLines(pool.fields(readableTime: true))
        for process in processes ?? [] {
            page.append("\n************************\n")
            page.appendTextLines(process.fields(readableTime: true, uriName: "request URI"))
        }
    }

    private func renderJSON(
        _ page: inout [UInt8],
        _ processes: [ProcessStatus]?,
        _ figures: PoolFigures?
    ) {
        page.append("{")
        page.appendJSONMembers(pool.fields(readableTime: false))
        if let processes {
            page.append(", \"processes\":[")
            for (position, process) in processes.enumerated() {
                page.append(position == 0 ? "{" : ",{")
                page.appendJSONMembers(process.fields(readableTime: false))
                page.append("}")
            }
            page.append("]")
        }
        if let figures {
            page.append(", \"figures\":")
            figures.appendJSON(to: &page)
        }
        page.append("}")
    }

    private func renderXML(_ page: inout [UInt8], _ processes: [ProcessStatus]?) {
        page.append("<?xml version=\"1.0\" ?>\n<status>\n")
        for field in pool.fields(readableTime: false) {
            page.appendXMLElement(field)
            page.append("\n")
        }
        if let processes {
            page.append("<processes>\n")
            for process in processes {
                page.append("<process>")
                for field in process.fields(readableTime: false) { page.appendXMLElement(field) }
                page.append("</process>\n")
            }
            page.append("</processes>\n")
        }
        page.append("</status>")
    }

    private func renderHTML(_ page: inout [UInt8], _ processes: [ProcessStatus]?) {
        page.append(
            """
            <!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" \
            "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
            <html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
            <head><title>PHP-FPM Status Page</title></head>
            <body>
            <table>

            """
        )
        appendPoolRows(to: &page)
        page.append("</table>\n")
        if let processes {
            page.append("<table border=\"1\">\n")
            appendRows(of: processes, to: &page)
            page.append("</table>")
        }
        page.append("</body></html>")
    }
}

extension [UInt8] {
    /// `name:` and blanks up to column 23, the value, a line feed.
    fileprivate mutating func appendTextLines(_ fields: [Field]) {
        for field in fields {
            append(field.name)
            append(":")
            for _ in (field.name.utf8CodeUnitCount + 1)..<22 { append(UInt8(ascii: " ")) }
            append(field.value, .none)
            append("\n")
        }
    }

    fileprivate mutating func appendJSONMembers(_ fields: [Field]) {
        for (position, field) in fields.enumerated() {
            append(position == 0 ? "\"" : ",\"")
            append(field.name)
            append("\":")
            switch field.value {
            case .number, .signed, .decimal: append(field.value, .json)
            case .text, .uri:
                append("\"")
                append(field.value, .json)
                append("\"")
            }
        }
    }

    fileprivate mutating func appendXMLElement(_ field: Field) {
        append("<")
        appendHyphenated(field.name)
        append(">")
        append(field.value, .markup)
        append("</")
        appendHyphenated(field.name)
        append(">")
    }

    private mutating func appendHyphenated(_ name: StaticString) {
        let start = count
        append(name)
        for position in start..<count where self[position] == UInt8(ascii: " ") {
            self[position] = UInt8(ascii: "-")
        }
    }
}
