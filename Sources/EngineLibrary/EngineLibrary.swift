internal import CEngineHost
internal import Glibc
internal import Zygote

/// Where the distribution's PHP program enters the engine; see `CEngineHost/start.c`.
///
/// Never returns.
@_cdecl("fpmd_engine_library_main")
public func engineLibraryMain(_ count: CInt, _ vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) {
    EngineProgram.run(count: count, vector: vector, isHosted: true)
}
