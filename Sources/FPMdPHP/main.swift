import Zygote

EngineProgram.run()
