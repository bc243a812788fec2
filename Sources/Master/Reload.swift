internal import Configuration
internal import Reactor

/// A reload in progress: new pools start while those that they replace serve.
struct Reload {
    /// How long running requests of the old generation may take when `process_control_timeout` is not set.
    ///
    /// php-fpm kills them at once then; losing requests on reload is not what anybody wants.
    static let defaultDrainPatience = Duration.seconds(60)

    /// What is in force once the new pools serve.
    let configuration: ServiceConfiguration
    let generation: Generation
    let pools: [Pool]
    /// Those that leave.
    let replaced: [Pool]
    let source: ListenerSource
    /// One pool is reloaded, and the service as a whole stays as it is.
    let isPartial: Bool
    /// New pools that are not ready.
    var unready: Int
    var deadline: Reactor.Deadline?
    /// The metrics listener of the new configuration, which may be the present one.
    var metrics: MetricsListener?

    init(
        _ made: Master<some ConfigurationHost>.NewPools,
        replacing replaced: [Pool],
        configuration: ServiceConfiguration,
        isPartial: Bool
    ) {
        self.configuration = configuration
        self.replaced = replaced
        self.isPartial = isPartial
        generation = made.generation
        pools = made.pools
        source = made.source
        unready = made.pools.count
    }
}
