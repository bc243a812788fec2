// What one statement of a file means: sections, scalars and arrays.
extension FileLoader {
    /// Applies one statement, unless an earlier one on the line was wrong.
    mutating func handle(_ event: INIEvent) {
        guard !isLineWrong else { return }
        if case .section = event {} else if !isRead { return }
        switch event {
        case .section(let name): enterSection(name)
        case .entry(let name, let value): setScalar(name, value)
        case .arrayEntry(let name, let key, let value): addToArray(name, key, value)
        }
    }

    /// Reports an error at the current line.
    private mutating func fail(_ message: ByteString, hint: ByteString? = nil) {
        isLineWrong = true
        diagnostics.report(.error, "[\(file):\(line)] \(message)", hint: hint)
    }

    /// Whether what follows is to be read; what is not has been when all was.
    private var isRead: Bool {
        guard let onlyPool else { return true }
        return currentPool.map { pools[$0].name == onlyPool } ?? false
    }

    /// Notes that the file being read says something of a pool.
    private mutating func noteSource(_ pool: Int) {
        guard pools[pool].sources.last?.path != file,
            !pools[pool].sources.contains(where: { $0.path == file })
        else { return }
        pools[pool].sources.append(PoolSource(path: file, beginsInside: !hasSection))
    }

    private mutating func enterSection(_ name: ByteString) {
        hasSection = true
        if name.equalsIgnoringCase("global") {
            currentPool = nil
            return
        }
        let key = name.loweredASCII
        if let known = poolIndices[key] {
            currentPool = known
            noteSource(known)
            return
        }
        // php-fpm would replace `$pool` by a text with `$pool` in it for ever.
        guard (try? name.replacingPoolName(with: nil)) != nil else {
            fail("the pool name '\(name)' must not contain '$pool'")
            return
        }
        currentPool = pools.count
        poolIndices[key] = pools.count
        pools.append(PoolSettings(name: name))
        noteSource(pools.count - 1)
    }

    private mutating func setScalar(_ name: ByteString, _ value: ByteString?) {
        guard let value else {
            fail(
                "value is NULL for a ZEND_INI_PARSER_ENTRY",
                hint: "expected NAME = VALUE; a comment begins with ';'"
            )
            return
        }
        if name == "include" {
            guard pendingInclude == nil else {
                fail("two includes at the same time !")
                return
            }
            pendingInclude = value
            return
        }
        do throws(EntryProblem) {
            if let pool = currentPool {
                noteSource(pool)
                try PoolSettings.scalars.store(value, name, pool: pools[pool].name, in: &pools[pool])
            } else {
                try GlobalSettings.scalars.store(value, name, pool: nil, in: &global)
            }
        } catch { fail(error.message, hint: error.hint) }
    }

    private mutating func addToArray(_ name: ByteString, _ key: ByteString, _ value: ByteString) {
        guard !key.isEmpty || name == "access.suppress_path" else {
            fail("You must provide a key for field '\(name)'")
            return
        }
        guard let pool = currentPool else {
            fail("Array are not allowed in the global section")
            return
        }
        guard let row = PoolSettings.table.first(where: { $0.field.isArray && $0.name == name }) else {
            fail(
                "unknown directive '\(name)'",
                hint: Suggestion.hint(for: name, isArray: true, pool: pools[pool].name)
            )
            return
        }
        noteSource(pool)
        if case .paths(let property) = row.field {
            addPath(value, key: key, to: property, of: row.name, pool)
            return
        }
        do throws(ValueProblem) {
            try add(value, key: key, to: row.field, pool)
        } catch {
            fail("error while parsing '\(name)[\(key)]' : \(error.text)")
        }
    }

    private mutating func addPath(
        _ value: ByteString,
        key: ByteString,
        to property: WritableKeyPath<PoolSettings, [ByteString]>,
        of name: ByteString,
        _ pool: Int
    ) {
        if !key.isEmpty { fail("Keys provided to field '\(name)' are ignored") }
        if !value.isAbsolutePath { fail("Values provided to field '\(name)' must begin with '/'") }
        guard !isLineWrong else { return }
        let path = (try? value.replacingPoolName(with: pools[pool].name)) ?? value
        pools[pool][keyPath: property].insert(path, at: 0)
    }

    /// Puts an entry in front of its list, so that the first in the file is applied last and wins.
    private mutating func add(
        _ value: ByteString,
        key: ByteString,
        to field: DirectiveField<PoolSettings>,
        _ pool: Int
    ) throws(ValueProblem) {
        let text = try value.replacingPoolName(with: pools[pool].name)
        switch field {
        case .environment(let property):
            guard !value.isEmpty else {
                fail("empty value")
                return
            }
            pools[pool][keyPath: property].insert(EnvironmentEntry(name: key, value: text), at: 0)
        case .phpSettings(let property, let isAdmin, let isFlag):
            let stored = isFlag ? (try value.boolean() ? "1" : "0") : text
            let setting = PHPSetting(name: key, value: stored, isAdmin: isAdmin)
            pools[pool][keyPath: property].insert(setting, at: 0)
        default:
            break
        }
    }
}
