/// What an HTTP client is answered.
struct HTTPAnswer {
    /// Status and phrase.
    var status: StaticString
    var contentType: StaticString
    /// Further header fields.
    var fields: [StaticString] = []
    /// The body, piece by piece: each is made when the one before has been sent, in a fraction of a millisecond.
    var pieces: () -> Piece

    /// Whether the body is there already: to send it costs nothing worth waiting a turn for.
    private(set) var isMade = false

    /// What comes next of a body.
    enum Piece {
        case bytes([UInt8])
        /// Nothing yet; the next turn of the loop may ask again.
        case later
        /// That was all.
        case over
        /// It cannot be ended as it was begun: the client must not take it for whole.
        case broken
    }

    /// An answer whose body is there.
    init(_ status: StaticString, _ contentType: StaticString, body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        isMade = true
        var rest: [UInt8]? = body.isEmpty ? nil : body
        pieces = { rest.take().map { .bytes($0) } ?? .over }
    }

    /// An answer whose body is made as it is sent.
    init(_ status: StaticString, _ contentType: StaticString, pieces: @escaping () -> Piece) {
        self.status = status
        self.contentType = contentType
        self.pieces = pieces
    }

    /// A line of text.
    static func text(_ status: StaticString, _ line: String) -> HTTPAnswer {
        HTTPAnswer(status, "text/plain; charset=utf-8", body: Array((line + "\n").utf8))
    }
}
