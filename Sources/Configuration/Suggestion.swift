/// Helps with a name that no directive of the section has.
enum Suggestion {
    /// Explains an unknown scalar or array name; nil when nothing known is near.
    ///
    /// - Parameters:
    ///   - name: As the file has it.
    ///   - isArray: Whether it stood before brackets.
    ///   - poolName: The pool whose section is in force; nil for the global one.
    /// - Returns: A sentence without a full stop.
    static func hint(for name: ByteString, isArray: Bool, pool poolName: ByteString?) -> ByteString? {
        // No directive is nearly as long, and the search takes time in proportion to the length.
        guard name.count <= 64 else { return nil }
        let global = GlobalSettings.table.map { ($0.name, $0.field.isArray) }
        let pool = PoolSettings.table.map { ($0.name, $0.field.isArray) }
        let (own, other) = poolName == nil ? (global, pool) : (pool, global)

        if let match = own.first(where: { $0.0.equalsIgnoringCase(name) }), match.1 != isArray {
            guard match.1 else { return "'\(match.0)' takes no brackets" }
            let key: ByteString = match.0 == "access.suppress_path" ? "" : "NAME"
            return "'\(match.0)' needs brackets: \(match.0)[\(key)] = …"
        }
        if other.contains(where: { $0.0.equalsIgnoringCase(name) }), !own.contains(where: { $0.0 == name }) {
            guard let poolName else { return "'\(name)' belongs in a pool's section" }
            return "'\(name)' belongs in the [global] section; the one in force here is [\(poolName)]"
        }
        let candidates = own.filter { $0.1 == isArray }.map(\.0) + (isArray ? [] : ["include"])
        let nearest = candidates.map { ($0, distance(name, $0)) }.min { $0.1 < $1.1 }
        guard let nearest, nearest.1 <= max(1, nearest.0.count / 4) else { return nil }
        return "did you mean '\(nearest.0)'?"
    }

    /// How many insertions, deletions and replacements make one name the other, ignoring case.
    private static func distance(_ left: ByteString, _ right: ByteString) -> Int {
        var row = Array(0...right.count)
        for (i, byte) in left.bytes.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in right.bytes.enumerated() {
                let replaced = diagonal + (byte.loweredASCII == other.loweredASCII ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
