/// Why a value is refused; the text is php-fpm's.
struct ValueProblem: Error, Hashable, Sendable {
    var text: ByteString
}

extension DirectiveField {
    /// Reads `value` as this field's type and stores it; array fields are left alone.
    ///
    /// - Parameters:
    ///   - value: The text after the sign of equality.
    ///   - pool: The name for `$pool`; nil in the global section.
    ///   - settings: The section to change.
    /// - Throws: ``ValueProblem`` with php-fpm's text.
    func store(
        _ value: ByteString,
        pool: ByteString?,
        in settings: inout Settings
    ) throws(ValueProblem) {
        switch self {
        case .text(let property):
            settings[keyPath: property] = try value.replacingPoolName(with: pool)
        case .boolean(let property):
            settings[keyPath: property] = try value.boolean()
        case .integer(let property):
            settings[keyPath: property] = try value.integer()
        case .priority(let property):
            let priority = try value.integer()
            // php-fpm marks "unset" with this number, so it is not out of range.
            settings[keyPath: property] = priority == 64 ? nil : priority
        case .seconds(let property), .plainSeconds(let property):
            settings[keyPath: property] = try value.seconds()
        case .optionalSeconds(let property):
            settings[keyPath: property] = try value.seconds()
        case .logLevel(let property):
            settings[keyPath: property] = try value.logLevel()
        case .facility(let property):
            settings[keyPath: property] = try value.facility()
        case .coreLimit(let property):
            settings[keyPath: property] = try value.coreLimit()
        case .size(let property):
            settings[keyPath: property] = try value.size()
        case .processManager(let property):
            settings[keyPath: property] = try value.processManager()
        case .paths, .environment, .phpSettings:
            break
        }
    }
}

/// Why an entry of a file is refused, in php-fpm's words, and perhaps what is meant.
struct EntryProblem: Error, Hashable, Sendable {
    var message: ByteString
    var hint: ByteString?
}

extension ScalarDirectives {
    /// Reads `value` as the directive `name` says, and stores it.
    ///
    /// - Parameters:
    ///   - value: The text after the sign of equality.
    ///   - name: As the file has it.
    ///   - pool: The pool's name; nil in the global section.
    ///   - settings: The section to change.
    /// - Throws: ``EntryProblem`` if there is no such directive, or it does not take the value.
    func store(
        _ value: ByteString,
        _ name: ByteString,
        pool: ByteString?,
        in settings: inout Settings
    ) throws(EntryProblem) {
        guard let row = self[name] else {
            throw EntryProblem(
                message: "unknown entry '\(name)'",
                hint: Suggestion.hint(for: name, isArray: false, pool: pool)
            )
        }
        do throws(ValueProblem) {
            try row.check(value)
            try row.field.store(value, pool: pool, in: &settings)
        } catch {
            throw EntryProblem(message: "unable to parse value for entry '\(row.name)': \(error.text)")
        }
    }
}

extension DirectiveRow {
    /// Refuses what php-fpm's ways of reading would make something else of, where a directive is not php-fpm's.
    ///
    /// - Throws: ``ValueProblem`` with what was found and what is possible.
    func check(_ value: ByteString) throws(ValueProblem) {
        guard directive.isOurs else { return }
        switch field {
        case .seconds, .plainSeconds, .optionalSeconds:
            guard value.isExactTime else {
                throw ValueProblem(
                    text:
                        "invalid time value '\(value)': give a whole number of seconds, or one with s, m, h or d after it"
                )
            }
        case .integer:
            guard Int32(value.description) != nil else {
                throw ValueProblem(
                    text: "invalid number '\(value)': give a whole number, at most \(Int32.max)"
                )
            }
        case .text where takesAddress:
            guard !ControlSocketPath.isOn(value) else {
                // The configuration's language makes 1 of on, yes and true.
                throw ValueProblem(
                    text:
                        "'\(value)' (1, on, yes or true) is no address: give a path\(name == "metrics.listen" ? " or HOST:PORT" : ""), or off for none"
                )
            }
        case .text, .boolean, .priority, .logLevel, .facility, .coreLimit, .size, .processManager, .paths,
            .environment, .phpSettings:
            break
        }
    }

    private var takesAddress: Bool { name == "control.socket" || name == "metrics.listen" }
}

extension ByteString {
    /// Digits with `s`, `m`, `h`, `d` or nothing after them, and no more seconds than 32 bits hold; with a minus in front they
    /// are refused by their directive.
    fileprivate var isExactTime: Bool {
        var digits = bytes.first == UInt8(ascii: "-") ? bytes.dropFirst() : bytes[...]
        var unit: Int64 = 1
        switch digits.last {
        case UInt8(ascii: "s"): digits.removeLast()
        case UInt8(ascii: "m"): (unit, digits) = (60, digits.dropLast())
        case UInt8(ascii: "h"): (unit, digits) = (3600, digits.dropLast())
        case UInt8(ascii: "d"): (unit, digits) = (86400, digits.dropLast())
        default: break
        }
        guard digits.allSatisfy(\.isASCIIDigit), let number = Int32(String(decoding: digits, as: UTF8.self))
        else { return false }
        return Int64(number) * unit <= Int64(Int32.max)
    }

    /// The text with every `$pool` replaced by the pool's name.
    func replacingPoolName(with pool: ByteString?) throws(ValueProblem) -> ByteString {
        let marker = Array("$pool".utf8)
        var result: [UInt8] = []
        var rest = bytes[...]
        while let dollar = rest.firstIndex(of: UInt8(ascii: "$")) {
            result.append(contentsOf: rest[..<dollar])
            rest = rest[dollar...]
            if rest.starts(with: marker) {
                guard let pool else {
                    throw ValueProblem(text: "Can't use '$pool' when the pool is not defined")
                }
                result.append(contentsOf: pool.bytes)
                rest = rest.dropFirst(marker.count)
            } else {
                result.append(rest.removeFirst())
            }
        }
        return ByteString(result + rest)
    }

    /// A boolean word; capitals have been dealt with by the scanner, where they are allowed.
    func boolean() throws(ValueProblem) -> Bool {
        switch self {
        case "1", "yes", "true", "on": return true
        case "", "0", "no", "none", "false", "off": return false
        default: throw ValueProblem(text: "invalid boolean value")
        }
    }

    /// Decimal digits with an optional minus sign in front; nothing at all is 0.
    func integer() throws(ValueProblem) -> Int {
        let digits = bytes.first == UInt8(ascii: "-") ? bytes.dropFirst() : bytes[...]
        guard digits.allSatisfy(\.isASCIIDigit) else {
            throw ValueProblem(text: "is not a valid number (greater or equal than zero)")
        }
        return cInteger(bytes[...])
    }

    /// A number of seconds, or of minutes, hours or days with the suffix `m`, `h` or `d`.
    func seconds() throws(ValueProblem) -> Duration {
        guard let last = bytes.last else { throw ValueProblem(text: "invalid time value") }
        let unit: Int32
        switch last {
        case UInt8(ascii: "s"), UInt8(ascii: "0")...UInt8(ascii: "9"): unit = 1
        case UInt8(ascii: "m"): unit = 60
        case UInt8(ascii: "h"): unit = 3600
        case UInt8(ascii: "d"): unit = 86400
        default: throw ValueProblem(text: "unknown suffix used in time value")
        }
        // Only leading digits count and the product keeps 32 bits, both as in php-fpm.
        return .seconds(Int32(truncatingIfNeeded: cInteger(bytes[...])) &* unit)
    }

    func logLevel() throws(ValueProblem) -> LogLevel {
        let names: [(ByteString, LogLevel)] = [
            ("debug", .debug), ("notice", .notice), ("warning", .warning), ("warn", .warning),
            ("error", .error), ("alert", .alert),
        ]
        guard let level = names.first(where: { equalsIgnoringCase($0.0) }) else {
            throw ValueProblem(text: "invalid value for 'log_level'")
        }
        return level.1
    }

    /// The number of a facility as in Linux's `<syslog.h>`.
    func facility() throws(ValueProblem) -> Int {
        let names: [(ByteString, Int)] = [
            ("KERN", 0), ("USER", 1), ("MAIL", 2), ("DAEMON", 3), ("AUTH", 4), ("SYSLOG", 5), ("LPR", 6),
            ("NEWS", 7), ("UUCP", 8), ("CRON", 9), ("AUTHPRIV", 10), ("FTP", 11), ("LOCAL0", 16),
            ("LOCAL1", 17), ("LOCAL2", 18), ("LOCAL3", 19), ("LOCAL4", 20), ("LOCAL5", 21), ("LOCAL6", 22),
            ("LOCAL7", 23),
        ]
        guard let facility = names.first(where: { equalsIgnoringCase($0.0) }) else {
            throw ValueProblem(text: "invalid value")
        }
        return facility.1 << 3
    }

    func coreLimit() throws(ValueProblem) -> Int {
        if equalsIgnoringCase("unlimited") { return -1 }
        let limit = try integer()
        guard limit >= 0 else { throw ValueProblem(text: "must be greater than zero or 'unlimited'") }
        return limit
    }

    /// A number of bytes, or of their multiples with the suffix `K`, `M` or `G`.
    func size() throws(ValueProblem) -> Int {
        let problem = ValueProblem(text: "is not a valid size (a number with K, M or G after it, or nothing)")
        var digits = bytes[...]
        var unit = 1
        switch digits.last {
        case UInt8(ascii: "k"), UInt8(ascii: "K"): unit = 1 << 10
        case UInt8(ascii: "m"), UInt8(ascii: "M"): unit = 1 << 20
        case UInt8(ascii: "g"), UInt8(ascii: "G"): unit = 1 << 30
        default: break
        }
        if unit > 1 { digits.removeLast() }
        guard digits.allSatisfy(\.isASCIIDigit), let number = Int(String(decoding: digits, as: UTF8.self))
        else { throw problem }
        let (value, overflow) = number.multipliedReportingOverflow(by: unit)
        if overflow { throw problem }
        return value
    }

    func processManager() throws(ValueProblem) -> ProcessManager {
        guard let manager = ProcessManager.allCases.first(where: { equalsIgnoringCase(ByteString($0.name)) })
        else { throw ValueProblem(text: "invalid process manager (static, dynamic or ondemand)") }
        return manager
    }
}
