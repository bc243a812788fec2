/// Helps with a name that no directive of the section has.
enum Suggestion {
    /// A sentence for an unknown scalar or array name; nil when nothing known is near.
    static func hint(for name: ByteString, isArray: Bool, scope: Directive.Scope) -> ByteString? {
        // No directive is nearly as long, and the search takes time in proportion to the length.
        guard name.count <= 64 else { return nil }
        let global = GlobalSettings.table.map { ($0.name, $0.field.isArray) }
        let pool = PoolSettings.table.map { ($0.name, $0.field.isArray) }
        let (own, other) = scope == .global ? (global, pool) : (pool, global)

        if let match = own.first(where: { $0.0.equalsIgnoringCase(name) }), match.1 != isArray {
            return match.1
                ? "'\(match.0)' needs brackets: \(match.0)[\(match.0 == "access.suppress_path" ? "" : "NAME")] = …"
                : "'\(match.0)' takes no brackets"
        }
        if other.contains(where: { $0.0.equalsIgnoringCase(name) }), !own.contains(where: { $0.0 == name }) {
            return scope == .global
                ? "'\(name)' belongs in a pool's section" : "'\(name)' belongs in the [global] section"
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
