/// Whether fpmd acts on a directive yet.
public enum DirectiveEffect: Hashable, Sendable {
    /// It does what php-fpm's does.
    case effective
    /// It is read and checked; the issue named will make it work.
    case notYet(issue: Int)
}
