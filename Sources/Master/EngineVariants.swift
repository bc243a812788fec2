internal import Configuration

/// Which ways of starting PHP the pools of a generation have tried, or will: the settings that only PHP's start reads.
///
/// A pool that starts workers finds out by itself whether PHP starts. An ondemand pool would find out at its first
/// request, so one of each variant tries before the generation takes over.
struct EngineVariants {
    /// More are not tried: each costs a start of PHP.
    private static let most = 16

    private var seen: Set<[PHPSetting]> = []

    /// Whether `pool` is the first ondemand pool of its variant.
    mutating func isUntried(_ pool: PoolSettings) -> Bool {
        guard pool.processManager == .ondemand, seen.count < Self.most else { return false }
        return seen.insert(pool.phpSettings.filter(Self.isEngineSetting)).inserted
    }

    /// Whether PHP starts with the one's settings if it does with the other's.
    static func areSame(_ one: PoolSettings, _ other: PoolSettings) -> Bool {
        one.phpSettings.filter(isEngineSetting) == other.phpSettings.filter(isEngineSetting)
    }

    private static func isEngineSetting(_ setting: PHPSetting) -> Bool {
        setting.name.bytes.starts(with: "opcache.".utf8) || setting.name == "extension"
            || setting.name == "zend_extension"
    }
}
