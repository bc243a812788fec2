/// The name among `names` that is most like `name`, for an error message; nil when none is like it.
public func nearestName(to name: String, among names: [String]) -> String? {
    let candidates = names.map { ($0, distance(Array(name.utf8), Array($0.utf8))) }
    guard let nearest = candidates.min(by: { $0.1 < $1.1 }) else { return nil }
    return nearest.1 <= max(1, nearest.0.utf8.count / 3) ? nearest.0 : nil
}

/// How many insertions, deletions and replacements make one text the other.
private func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var row = Array(0...right.count)
    for (i, byte) in left.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, other) in right.enumerated() {
            let replaced = diagonal + (byte == other ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
        }
    }
    return row[right.count]
}
