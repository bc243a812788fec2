# Every rule is one call into scripts/, where the work is done and explained.
PREFIX ?= /usr/local
DESTDIR ?=
# Seconds per fuzzing target of `make fuzz`; `make test` takes a few.
FUZZ_SECONDS ?= 300

export PREFIX DESTDIR

.PHONY: all install uninstall deb demo demo-check test fuzz generate check format clean distclean help
# The scripts share one build directory.
.NOTPARALLEL:

all: ## build the release programs (default)
	@scripts/build release

install: all ## install below DESTDIR and PREFIX (default /usr/local)
	@scripts/install

uninstall: ## remove what install put there
	@scripts/install --remove

deb: ## the Debian package, into dist/
	@scripts/deb

demo: ## fpmd and nginx on loopback, until Ctrl-C
	@scripts/demo

demo-check: ## the same, ending by itself
	@scripts/demo --check

test: ## install what the tests need and run all of them
	@scripts/test

fuzz: ## FUZZ_SECONDS (default 300) of fuzzing per target
	@scripts/fuzz $(FUZZ_SECONDS)

generate: ## write the documents that come from the directive table
	@scripts/generate

check: ## format, scripts, manual, unit, samples, links, generated documents
	@scripts/check

format: ## rewrite the Swift sources in the project's format
	@scripts/format

clean: ## remove what was compiled; downloaded packages stay
	@rm -rf dist .build/x86_64-* .build/aarch64-* .build/debug .build/release .build/fuzz .build/harness*

distclean: ## remove everything that was built or downloaded
	@rm -rf dist .build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1: /p' Makefile
