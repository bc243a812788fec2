internal import Configuration

/// The answer to a request that is not served.
enum ServiceUnavailable {
    /// Asks the client to come again after `retryAfter` seconds.
    static func answer(requestID: UInt16, retryAfter: Int) -> OwnAnswer {
        let headers: [ByteString] = [
            "Retry-After: \(retryAfter)", "Content-type: text/html; charset=UTF-8",
        ]
        var page: [UInt8] = []
        func line(_ text: ByteString) { page += text.bytes + [13, 10] }
        line("Status: 503 Service Unavailable")
        for header in headers { line(header) }
        line("")
        page += Array("The service is overloaded.\n".utf8)
        return OwnAnswer(
            records: framedResponse(page, requestID: requestID),
            status: 503,
            headers: headers
        )
    }
}
