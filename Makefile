# memmgr.h - everything that can be done here; `make help` lists it.
#
# Variables, all optional: CC CXX CFLAGS; STB_DS_DIR (folder of stb_ds.h), CMOCKA_DIR
# (prefix of cmocka); BUILD (folder for everything that is made, build).

CC = cc
CXX = c++
CFLAGS = -O2 -g
STD = -std=c11
WARN = -Wall -Wextra
DEFS =
LDLIBS = -lm -lpthread
BUILD = build
PREFIX = /usr/local
SECONDS = 60

VERSION := $(shell sed -n 's/^\#define MM_VERSION_TEXT "\(.*\)"/\1/p' memmgr.h)
STB = $$(cat $(BUILD)/stb_ds.flags)
CMOCKA = $$(cat $(BUILD)/cmocka.flags)
COMPILE = $(CC) $(STD) $(WARN) $(CFLAGS) $(DEFS) -I. -Itests
SHARED_HEADERS = memmgr.h $(wildcard tests/*.h)
CHECKS = vectors examples demo debug compile coexist symbols docs style
SANITIZERS = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all
# One of the builds below, in its own folder: $(call variant,FOLDER,FLAGS)
variant = +@$(MAKE) -s --no-print-directory BUILD=$(BUILD)/$(1) $(2)

DEPS ?= $(abspath $(BUILD))/deps
export CC CXX CFLAGS DEFS BUILD MAKE DEPS

all: help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

# ------------------------------------------------------------------- the main job

demo: $(BUILD)/examples/depgraph ## the package graph of this machine (DATA=file for another input)
	@$(BUILD)/examples/depgraph -o $(BUILD) $(if $(DATA),"$(DATA)")

# -------------------------------------------------------------------------- tests

test: setup ## build and run everything below that needs no minutes
	@echo "memmgr.h $(VERSION), $$($(CC) --version | head -n 1)"
	@sh tests/run.sh suites $(CHECKS)

suites: setup ## only the cmocka suites, one per room (RUN=test_heap for one)
	@sh tests/run.sh $(or $(RUN),suites)

vectors: setup ## replay CPython's behaviour (VECTORS=folder)
	@VECTORS="$(VECTORS)" sh tests/run.sh vectors

examples: setup ## build and run the examples; compare with their headings
	@sh tests/run.sh examples

compile-matrix: setup ## gcc and clang, C99 to C23, C++11 to C++20, strict warnings
	@sh tests/run.sh compile

debug: setup ## six planted bugs: found by the heap's checks, ASan and valgrind
	@sh tests/run.sh debug

coexist: setup ## beside an application's own stb_ds
	@sh tests/run.sh coexist

symbols: setup ## what reaches the linker and which macros remain
	@sh tests/run.sh symbols

docs: setup ## compile the code blocks of README.md and docs/
	@sh tests/run.sh docs

style: setup ## width, function lengths and anchors of memmgr.h
	@sh tests/run.sh style

sanitize: ## suites, vectors and examples under AddressSanitizer and UBSan
	$(call variant,asan-$(notdir $(firstword $(CC))),sanitize-run CFLAGS="$(SANITIZERS)")

small: ## suites, vectors and examples in the small profile (MEMMGR_SMALL), without SSE2
	$(call variant,small,variant-run DEFS="$(DEFS) -DMEMMGR_SMALL=1 -U__SSE2__")

stress: ## suites with all invariants checked, collecting at every allocation
	$(call variant,stress,stress-run DEFS="$(DEFS) -DMEMMGR_CHECK=3")

oom: ## out of memory at the k-th request, for every k
	$(call variant,oom,oom-run)

fuzz: ## random programs against plain oracles (SECONDS=60)
	$(call variant,fuzz,fuzz-run DEFS="$(DEFS) -DMEMMGR_CHECK=2")

negative: setup ## a barrier taken out: found by the fuzzer (RUN=recheck for one)
	@sh tests/negative.sh $(RUN)

valgrind: ## suites under valgrind (RUN=test_heap for one)
	$(call variant,valgrind,valgrind-run CFLAGS="-O1 -g")

windows: ## suites and vectors as Windows programs, by MinGW and Wine (RUN=test_heap for one)
	+@BUILD=$(BUILD)/windows RUN="$(RUN)" sh tests/foreign.sh windows

32bit: ## the same as 32-bit programs
	+@BUILD=$(BUILD)/32bit RUN="$(RUN)" sh tests/foreign.sh 32bit

# The halves of the targets above that run with BUILD set to their own folder.
variant-run: setup
	@sh tests/run.sh suites vectors examples demo

sanitize-run: setup
	@UBSAN_OPTIONS=print_stacktrace=1 sh tests/run.sh suites vectors examples demo

stress-run: setup
	@sh tests/run.sh suites vectors

oom-run: setup
	@sh tests/run.sh $(patsubst tests/%.c,%,$(wildcard tests/test_oom*.c))

fuzz-run: setup
	@FUZZ_SECONDS=$(SECONDS) sh tests/run.sh fuzz

valgrind-run: setup
	@if command -v valgrind >/dev/null; then MM_TEST_QUICK=1 \
	  RUNNER="valgrind -q --error-exitcode=99 --leak-check=full" \
	  sh tests/run.sh $(or $(RUN),suites); \
	else echo "valgrind is not installed" >&2; exit 1; fi

# ---------------------------------------------------------------------- and more

foreign-run: setup
	@sh tests/run.sh $(or $(RUN),suites vectors)

bench: setup-demo ## measure against other allocators and collectors (ROOM=heap for one)
	@ROOM="$(ROOM)" STB="$(STB)" sh tests/bench/run.sh

install: ## copy the header and a pkg-config file (PREFIX=/usr/local DESTDIR=)
	mkdir -p "$(DESTDIR)$(PREFIX)/include" "$(DESTDIR)$(PREFIX)/share/pkgconfig"
	cp memmgr.h "$(DESTDIR)$(PREFIX)/include/memmgr.h"
	printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include' '' \
	  'Name: memmgr' "Description: Python's memory model for C, in one header" \
	  'Version: $(VERSION)' 'Cflags: -I$${includedir}' \
	  >"$(DESTDIR)$(PREFIX)/share/pkgconfig/memmgr.pc"

format: ## where tests/ and examples/ differ from .clang-format (FIX=1 changes them)
	@clang-format $(if $(FIX),-i,--dry-run) \
	  $$(find tests examples -name '*.[ch]' -o -name '*.cpp' | sort)

clean: ## remove everything that was made
	rm -rf $(BUILD)

# ----------------------------------------------------------------- how it is made

setup: $(BUILD)/stb_ds.flags $(BUILD)/cmocka.flags
setup-demo: $(BUILD)/stb_ds.flags

# Looked at every time, written only when the answer has changed.
$(BUILD)/stb_ds.flags: FORCE
	@CC="$(CC)" sh tests/setup.sh stb_ds $@
$(BUILD)/cmocka.flags: FORCE
	@CC="$(CC)" sh tests/setup.sh cmocka $@
FORCE:

# cmocka suites; the other programs of tests/ need no cmocka.
$(BUILD)/tests/test_%: tests/test_%.c $(SHARED_HEADERS) $(BUILD)/stb_ds.flags \
		$(BUILD)/cmocka.flags
	@mkdir -p $(@D)
	$(COMPILE) $(STB) $< -o $@ $(CMOCKA) $(LDLIBS)

$(BUILD)/tests/%: tests/%.c $(SHARED_HEADERS) $(BUILD)/stb_ds.flags
	@mkdir -p $(@D)
	$(COMPILE) $(STB) $< -o $@ $(LDLIBS)

$(BUILD)/examples/%: examples/%.c memmgr.h $(wildcard examples/*.h) $(BUILD)/stb_ds.flags
	@mkdir -p $(@D)
	@$(COMPILE) $(STB) $< -o $@ $(LDLIBS)

.PHONY: all help demo test suites vectors examples debug compile-matrix coexist symbols docs \
	style sanitize small stress oom fuzz negative valgrind windows 32bit variant-run sanitize-run \
	stress-run oom-run fuzz-run valgrind-run foreign-run bench install format clean setup setup-demo FORCE
.DELETE_ON_ERROR:
