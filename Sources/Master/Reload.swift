internal import Configuration
internal import Reactor

/// A reload in progress: new pools start while those that they replace serve.
struct Reload {
    /// How long running requests of the old generation may take when `process_control_timeout` is not set.
    ///
    /// php-fpm kills them at once then; losing requests on reload is not what anybody wants.
    static let defaultDrainPatience = Duration.seconds(60)

    /// How long until the next of the new pools is ready, or the reload is given up.
    static let patience = Duration.seconds(60)

    /// What is in force once the new pools serve.
    enum Settings {
        case service(ServiceConfiguration)
        /// One pool is reloaded, the one with this index, and the service as a whole stays as it is.
        case pool(PoolSettings, index: Int)
    }

    let settings: Settings
    let generation: Generation
    let pools: [Pool]
    /// Those that leave.
    let replaced: [Pool]
    let source: ListenerSource
    var isPartial: Bool { if case .pool = settings { true } else { false } }
    /// New pools that are not ready.
    var unready: Int
    var deadline: Reactor.Deadline?
    /// The metrics listener of the new configuration, which may be the present one.
    var metrics: MetricsListener?

    init(
        _ made: Master<some ConfigurationHost>.NewPools,
        replacing replaced: [Pool],
        settings: Settings
    ) {
        self.settings = settings
        self.replaced = replaced
        generation = made.generation
        pools = made.pools
        source = made.source
        unready = made.pools.count
    }
}
