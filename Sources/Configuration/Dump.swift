extension ServiceConfiguration {
    /// The lines of the `-tt` dump, each the message of a NOTICE.
    var dumpLines: [ByteString] {
        ["[global]"] + Self.lines(of: global, GlobalSettings.table) + [" "]
            + pools.flatMap { ["[\($0.name)]"] + Self.lines(of: $0, PoolSettings.table) + [" "] }
    }

    private static func lines(of settings: GlobalSettings, _ table: [DirectiveRow<GlobalSettings>])
        -> [ByteString]
    {
        lines(of: settings, table, untouched: GlobalSettings())
    }

    private static func lines(of settings: PoolSettings, _ table: [DirectiveRow<PoolSettings>])
        -> [ByteString]
    {
        lines(of: settings, table, untouched: PoolSettings(name: settings.name))
    }

    private static func lines<Settings>(
        of settings: Settings,
        _ table: [DirectiveRow<Settings>],
        untouched: Settings
    ) -> [ByteString] {
        table.flatMap { row -> [ByteString] in
            func lines(_ settings: Settings) -> [ByteString] {
                row.field.dump(settings, name: row.name).map { "\t\($0.name) = \($0.value)" }
            }
            switch row.dump {
            case .never: return []
            case .always: return lines(settings)
            case .whenSet:
                let shown = lines(settings)
                return shown == lines(untouched) ? [] : shown
            }
        }
    }
}

extension DirectiveField {
    /// What the dump shows of this property: one pair, or one for each array entry.
    fileprivate func dump(_ settings: Settings, name: ByteString) -> [(name: ByteString, value: ByteString)] {
        switch self {
        case .text(let property):
            [(name, settings[keyPath: property] ?? "undefined")]
        case .boolean(let property):
            [(name, settings[keyPath: property] ? "yes" : "no")]
        case .integer(let property), .facility(let property), .coreLimit(let property),
            .size(let property):
            [(name, "\(settings[keyPath: property])")]
        case .priority(let property):
            [(name, settings[keyPath: property].map { "\($0)" } ?? "undefined")]
        case .seconds(let property):
            [(name, "\(settings[keyPath: property].components.seconds)s")]
        case .plainSeconds(let property):
            [(name, "\(settings[keyPath: property].components.seconds)")]
        case .optionalSeconds(let property):
            [(name, "\(settings[keyPath: property]?.components.seconds ?? 0)s")]
        case .logLevel(let property):
            [(name, ByteString(settings[keyPath: property]?.name ?? "unknown value"))]
        case .processManager(let property):
            [(name, ByteString(settings[keyPath: property]?.name ?? "undefined"))]
        case .paths(let property):
            settings[keyPath: property].map { ("\(name)[]", $0) }
        case .environment(let property):
            settings[keyPath: property].map { ("\(name)[\($0.name)]", $0.value) }
        case .phpSettings(let property, _, _):
            settings[keyPath: property].map { ("\(name)[\($0.name)]", $0.value) }
        }
    }
}
