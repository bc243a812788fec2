internal import CEpoll
internal import Glibc

cepoll_prepare_title(CommandLine.argc, CommandLine.unsafeArgv)
exit(Program.run())
