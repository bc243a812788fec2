internal import Channel
internal import Control
internal import Reactor
internal import Syscalls

/// The rest of a list of scripts in the opcache, as a worker has written it into a sealed memory file: a page a line.
///
/// PHP makes its whole list anew for each question. So a worker is asked once, and the pages after the first are read
/// here, one for each request. What stands in the file is hostile, as any answer of a worker.
final class ScriptPages {
    /// A worker writes no page that is longer, in bytes with its end.
    private static let longestPage = 40 << 10
    /// More than workers write.
    private static let longestFile = 80 << 20

    /// The last path of the page before the next one.
    private(set) var cursor: String
    private let file: SharedDescriptor
    private let size: Int
    private var position = 0

    /// Whether a descriptor is a sealed memory file that is not too large: then to close it does not take long, either.
    static func mayBe(_ file: CInt) -> Bool {
        guard let size = BytesFile.size(file) else { return false }
        return size <= longestFile
    }

    /// What a worker has sent; nil if it is no sealed memory file, or too large.
    ///
    /// - Parameters:
    ///   - file: The file.
    ///   - cursor: The last path of the page before those in it.
    init?(_ file: SharedDescriptor, after cursor: String) {
        guard let size = BytesFile.size(file.rawValue), size <= Self.longestFile else { return nil }
        self.file = file
        self.size = size
        self.cursor = cursor
    }

    /// Whether nothing follows.
    var isOver: Bool { position >= size }

    /// The next page; nil if what follows is none.
    func next() -> OpcacheScripts? {
        let length = min(Self.longestPage, size - position)
        var bytes = [UInt8](repeating: 0, count: max(0, length))
        let isRead = bytes.withUnsafeMutableBytes { BytesFile.read(file.rawValue, into: $0, from: position) }
        guard isRead, let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        bytes.removeSubrange(end...)
        position += end + 1
        guard let value = try? JSONDecoder.decode(bytes, mostValues: 4096), let page = OpcacheScripts(value),
            let last = page.scripts.last
        else { return nil }
        cursor = last.path
        return page
    }
}

/// The lists that are being read; a pool has one of these.
final class ScriptLists {
    /// More readers at a time find their next page with another question to a worker.
    private static let most = 4
    /// A reader that is gone for longer likewise.
    private static let patience = Duration.seconds(15)

    private let reactor: Reactor
    /// The one used last comes last.
    private var lists: [ScriptPages] = []
    private var deadline: Reactor.Deadline?

    init(reactor: Reactor) { self.reactor = reactor }

    /// Keeps the rest of a list.
    func keep(_ pages: ScriptPages) {
        guard !pages.isOver else { return }
        lists.append(pages)
        if lists.count > Self.most { lists.removeFirst() }
        deadline = reactor.after(Self.patience) { [weak self] in self?.lists = [] }
    }

    /// The page after this path, if a list that is kept goes on there.
    func page(after cursor: String) -> OpcacheScripts? {
        guard let index = lists.lastIndex(where: { $0.cursor == cursor }) else { return nil }
        let pages = lists.remove(at: index)
        guard let page = pages.next() else { return nil }
        keep(pages)
        return page
    }
}

@available(*, unavailable)
extension ScriptPages: Sendable {}

@available(*, unavailable)
extension ScriptLists: Sendable {}
