internal import CPHP
internal import Channel
internal import Configuration
internal import Glibc
internal import Syscalls

/// The engine's options as C wants them, and the modes in which it only prints something.
enum Engine {
    /// Where php.ini and, in `conf.d`, its additional files are: php-fpm's, or the embedded PHP's where php-fpm's package is
    /// not installed, so that packages of extensions take effect without it.
    private static var defaultIniDirectory: ByteString {
        let choices = ["/etc/php/8.2/fpm", "/etc/php/8.2/embed"]
        return ByteString(choices.first { access("\($0)/conf.d", F_OK) == 0 } ?? choices[0])
    }

    /// Calls `body` with the plan's engine options.
    static func withOptions<Result>(
        _ plan: ZygotePlan,
        _ body: (UnsafePointer<fpmd_engine_options>) -> Result
    ) -> Result {
        // Lives as long as the process: PHP keeps pointers to some of it.
        let names = CTexts(plan.defines.map { $0.name })
        let values = CTexts(plan.defines.map { $0.value })
        let defines = UnsafeMutablePointer<fpmd_setting>.allocate(capacity: max(1, plan.defines.count))
        for index in plan.defines.indices {
            (defines + index).initialize(
                to: fpmd_setting(
                    name: names[index],
                    value: values[index],
                    literal: index >= plan.commandLineDefines
                )
            )
        }
        let texts = CTexts([
            plan.iniPath ?? "", plan.executable, defaultIniDirectory, defaultIniDirectory + "/conf.d",
        ])
        let options = fpmd_engine_options(
            ini_path: plan.iniPath == nil ? nil : texts[0],
            no_ini: plan.noIni,
            extended_info: plan.extendedInfo,
            defines: UnsafePointer(defines),
            define_count: plan.defines.count,
            executable: texts[1],
            default_ini_dir: texts[2],
            default_scan_dir: texts[3]
        )
        return withUnsafePointer(to: options) { body($0) }
    }
}

extension Engine {
    /// The value of a PHP setting; nil if there is none of that name.
    static func iniSetting(_ name: String) -> ByteString? { text { fpmd_php_ini_setting(name, $0, $1, $2) } }

    /// The value of a PHP constant; nil if there is none of that name.
    static func constant(_ name: String) -> ByteString? { text { fpmd_php_constant(name, $0, $1, $2) } }

    private static func text(
        _ ask: (UnsafeMutablePointer<CChar>, Int, UnsafeMutablePointer<Int>) -> Bool
    ) -> ByteString? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
            var length = 0
            guard let base = buffer.baseAddress, ask(base, buffer.count, &length) else { return nil }
            return ByteString(UnsafeRawBufferPointer(start: base, count: length))
        }
    }
}

/// NUL-terminated copies of texts, at addresses that never change; never freed.
struct CTexts {
    private let pointers: UnsafeMutablePointer<UnsafePointer<CChar>>
    private let count: Int

    init(_ texts: [ByteString]) {
        count = texts.count
        pointers = .allocate(capacity: max(1, texts.count))
        for (index, text) in texts.enumerated() {
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: text.count + 1)
            for (position, byte) in text.bytes.enumerated() { copy[position] = CChar(bitPattern: byte) }
            copy[text.count] = 0
            (pointers + index).initialize(to: UnsafePointer(copy))
        }
    }

    subscript(index: Int) -> UnsafePointer<CChar> {
        precondition(index >= 0 && index < count)
        return pointers[index]
    }

    func withPointers<Result>(_ body: (UnsafePointer<UnsafePointer<CChar>>) -> Result) -> Result {
        body(UnsafePointer(pointers))
    }
}
