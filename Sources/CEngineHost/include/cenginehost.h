/* The engine as a library in the distribution's own PHP program: how it is entered. */
#ifndef CENGINEHOST_H
#define CENGINEHOST_H

/* What runs in place of the program's main(); defined in EngineLibrary (Swift). Does not return. */
void fpmd_engine_library_main(int argc, char *_Nullable *_Nonnull argv);

#endif
