internal import Configuration
internal import Reactor

/// A reload in progress: the new generation starts while the old one serves.
struct Reload {
    /// How long running requests of the old generation may take when `process_control_timeout` is not set.
    ///
    /// php-fpm kills them at once then; losing requests on reload is not what anybody wants.
    static let defaultDrainPatience = Duration.seconds(60)

    let configuration: ServiceConfiguration
    let pools: [Pool]
    let formerListeners: [Listener]
    var deadline: Reactor.Deadline?

    init(configuration: ServiceConfiguration, pools: [Pool], formerListeners: [Listener]) {
        self.configuration = configuration
        self.pools = pools
        self.formerListeners = formerListeners
    }
}
