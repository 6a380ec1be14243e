# persistent-kv. `make help` lists the targets.
#
# Everything that is built lies in $(BUILD). Variants (sanitizers, tiny limits, other versions of Lua)
# are the same targets with another BUILD, so that their objects never mix.

PREFIX      ?= /usr/local
DESTDIR     ?=
# Lua 5.1 to 5.5. What is built for 5.1 is for LuaJIT too.
LUA_VERSION ?= 5.4
LUA         ?= lua$(LUA_VERSION)
BUILD       ?= build$(if $(filter-out 5.4,$(LUA_VERSION)),/lua$(LUA_VERSION))
JOBS        ?= $(shell nproc)

# Debian packages: what it takes to build and run, and what else each kind of check takes.
BUILD_PACKAGES = lua$(LUA_VERSION) $(patsubst %5.1-dev,%5.1-0-dev,liblua$(LUA_VERSION)-dev) \
                 libprotobuf-c-dev pkgconf
TEST_PACKAGES  = lua-busted
# All that Debian has. The LuaJITs are not installed, see .ci/luajit.
LUA_PACKAGES     = lua5.1 liblua5.1-0-dev lua5.2 liblua5.2-dev lua5.3 liblua5.3-dev lua5.4 liblua5.4-dev
LUAJIT_PACKAGES  = luajit libluajit-5.1-2 libluajit-5.1-common
# Debian 12 has the LuaJIT of March 2022, whose compiled loops over tables now and then crash (x64; its
# issue 829, mended in April). So its specs are interpreted, but for the loops that ffi_spec is about.
LUAJIT_OPTIONS   = -joff
LUAJIT2_PACKAGES = luajit2 libluajit2-5.1-2 libluajit2-5.1-common
# What openresty_spec runs, not as a service, and what it asks with.
NGINX_PACKAGES   = nginx libnginx-mod-http-lua lua-socket
LINT_PACKAGES  = lua-check clang clang-format protobuf-c-compiler
FUZZ_PACKAGES  = clang libclang-rt-dev
MODEL_PACKAGES = spin gcc
COVERAGE_PACKAGES = gcovr
VALGRIND_PACKAGES = valgrind
BENCH_PACKAGES = g++ liblmdb-dev librocksdb-dev libleveldb-dev libsqlite3-dev libtkrzw-dev libwiredtiger-dev \
                 redis-server libhiredis-dev libnginx-mod-http-lua lua-dbi-sqlite3 lua-cjson gnuplot-nox
CI_PACKAGES    = luarocks g++ gcc-aarch64-linux-gnu libc6-dev-arm64-cross

CC      ?= cc
LD      ?= ld
AR      ?= ar
OBJCOPY ?= objcopy
INSTALL ?= install
OPTIMIZE ?= -O2 -g
# Of a variant: -fsanitize=..., -DPKV_TINY
VARIANT  ?=
WERROR   ?= -Werror
WARNINGS  = -Wall -Wextra -Wshadow -Wconversion $(WERROR)

LUA_CFLAGS   = $(shell pkg-config --cflags lua$(LUA_VERSION) 2>/dev/null || echo -I/usr/include/lua$(LUA_VERSION))
LUA_LIBS     = $(shell pkg-config --libs lua$(LUA_VERSION) 2>/dev/null || echo -llua$(LUA_VERSION))
PROTO_CFLAGS = $(shell pkg-config --cflags libprotobuf-c 2>/dev/null)
PROTO_LIBS   = $(shell pkg-config --libs libprotobuf-c 2>/dev/null || echo -lprotobuf-c)

ALL_CFLAGS = -std=gnu11 $(OPTIMIZE) -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(VARIANT) \
             $(PROTO_CFLAGS) $(LUA_CFLAGS) -MMD -MP $(CPPFLAGS) $(CFLAGS) $(COUNTED)
ALL_LIBS   = -pthread $(VARIANT) $(LDFLAGS) $(PROTO_LIBS) -ldl $(if $(COUNT),--coverage)

# ---- What is built from what

CORE_SOURCES  = $(filter-out $(SIMULATED_SOURCES),\
                $(wildcard src/*.c src/bytes/*.c src/os/*.c src/memory/*.c src/disk/*.c))
LUA_SOURCES   = $(wildcard src/lua/*.c)
CLI_SOURCES   = $(wildcard src/cli/*.c)
# Test-only: each *_check.c is a program, and so is each calls_*.c; internals*.c make up the Lua
# module pkv_internals. A sim_*_check has the simulated disk instead of the system's files.
SIMULATED_SOURCES = $(wildcard src/os/simulated*.c)
CHECK_SOURCES = $(wildcard spec/support/*_check.c)
CALLS_SOURCES = $(wildcard spec/support/calls_*.c)
# Of pkv_internals, other Luas than the first need only what is for the Lua module.
INTERNALS_SOURCES = $(wildcard $(if $(filter 5.4,$(LUA_VERSION)),\
                    spec/support/internals*.c spec/support/*.pb-c.c,spec/support/internals_[ls]*.c))
# Each *_fuzz.c is a program, the rest is shared.
FUZZ_SOURCES  = $(wildcard spec/fuzz/*_fuzz.c)
FUZZ_SHARED   = $(filter-out $(FUZZ_SOURCES),$(wildcard spec/fuzz/*.c)) spec/support/record.pb-c.c

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
CORE = $(call objects,$(CORE_SOURCES))
SIMULATED_CORE = $(call objects,$(filter-out src/os/posix_files.c,$(CORE_SOURCES)) $(SIMULATED_SOURCES))
PROBED_CORE = $(call objects,$(filter-out src/os/posix%,$(CORE_SOURCES)) spec/support/probe.c)
ALL_SOURCES = $(CORE_SOURCES) $(SIMULATED_SOURCES) $(LUA_SOURCES) $(CLI_SOURCES) $(CHECK_SOURCES) \
              $(INTERNALS_SOURCES) spec/support/probe.c $(CALLS_SOURCES) $(FUZZ_SOURCES) $(FUZZ_SHARED)

LIBRARIES = $(BUILD)/libpkv.so $(BUILD)/libpkv.a $(BUILD)/pkv.pc
MODULE    = $(if $(LUA_SOURCES),$(BUILD)/lua/pkv.so)
COMMAND   = $(if $(CLI_SOURCES),$(BUILD)/pkv)
INTERNALS = $(if $(wildcard spec/support/internals.c),$(BUILD)/spec/pkv_internals.so)
CHECKS    = $(patsubst spec/support/%.c,$(BUILD)/spec/%,$(CHECK_SOURCES) $(CALLS_SOURCES))
FUZZERS   = $(patsubst spec/fuzz/%.c,$(BUILD)/spec/%,$(FUZZ_SOURCES))

# The benchmark: a program for each store, in C++ where that is the store's own interface.
BENCH_DRIVER   = $(call objects,$(wildcard bench/driver/*.c))
BENCH_PROGRAMS = $(patsubst bench/peers/%.c,$(BUILD)/bench/%,$(wildcard bench/peers/*.c)) \
                 $(patsubst bench/peers/%.cc,$(BUILD)/bench/%,$(wildcard bench/peers/*.cc))
BENCH_OWN      = $(BUILD)/bench/pkv $(BUILD)/bench/micro $(BUILD)/bench/bench_c.so

.DEFAULT_GOAL := all
.PHONY: all
all: $(LIBRARIES) $(MODULE) $(COMMAND) ## build the library, the Lua module and the command

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

# Generated code converts as it likes.
$(BUILD)/obj/%.pb-c.o: WARNINGS = -Wall -Wextra $(WERROR)
# Test modules have only their own names to export.
$(BUILD)/obj/spec/%.o: CPPFLAGS += -fvisibility=default

$(BUILD)/libpkv.so.1: $(CORE)
	$(CC) -shared -Wl,-soname,libpkv.so.1 -Wl,--no-undefined -o $@ $^ $(ALL_LIBS)

$(BUILD)/libpkv.so: $(BUILD)/libpkv.so.1
	ln -sf libpkv.so.1 $@

# One object whose private names are local, so that they cannot clash with a program's own.
$(BUILD)/libpkv.a: $(CORE)
	$(LD) -r -o $(BUILD)/libpkv.o $^
	$(OBJCOPY) --localize-hidden $(BUILD)/libpkv.o
	rm -f $@
	$(AR) rcs $@ $(BUILD)/libpkv.o

PKV_VERSION = $(shell sed -n 's/^\#define PKV_VERSION "\(.*\)"/\1/p' src/pkv.h)
FILL_PC = sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(PKV_VERSION)|' src/pkv.pc.in

$(BUILD)/pkv.pc: src/pkv.pc.in src/pkv.h Makefile
	@mkdir -p $(@D)
	$(FILL_PC) > $@

# The module holds the library itself: one file to copy, nothing to find at run time.
$(BUILD)/lua/pkv.so: $(call objects,$(LUA_SOURCES)) $(CORE)
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $^ $(ALL_LIBS)

$(BUILD)/pkv: $(call objects,$(CLI_SOURCES)) $(BUILD)/libpkv.a
	$(CC) -o $@ $^ $(ALL_LIBS)

$(BUILD)/spec/pkv_internals.so: $(call objects,$(INTERNALS_SOURCES)) $(CORE)
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $^ $(ALL_LIBS)

$(BUILD)/spec/bench_check: $(BENCH_DRIVER)
$(BUILD)/spec/bench_check: ALL_LIBS += -lm

$(BUILD)/spec/%_check: $(BUILD)/obj/spec/support/%_check.o $(CORE)
	@mkdir -p $(@D)
	$(CC) -o $@ $^ $(ALL_LIBS)

$(BUILD)/spec/%_fuzz: $(BUILD)/obj/spec/fuzz/%_fuzz.o $(call objects,$(FUZZ_SHARED) $(LUA_SOURCES)) $(CORE)
	@mkdir -p $(@D)
	$(CC) -fsanitize=fuzzer -o $@ $^ $(ALL_LIBS) $(LUA_LIBS)

$(BUILD)/spec/sim_%_check: $(BUILD)/obj/spec/support/sim_%_check.o $(SIMULATED_CORE)
	@mkdir -p $(@D)
	$(CC) -o $@ $^ $(ALL_LIBS)

PROBED_CHECKS = $(patsubst %,$(BUILD)/spec/%_check,fault fault_folder disk reader)

$(PROBED_CHECKS): $(BUILD)/spec/%: $(BUILD)/obj/spec/support/%.o $(PROBED_CORE)
	@mkdir -p $(@D)
	$(CC) -o $@ $^ $(ALL_LIBS)

WRAP_SLEEP = -Wl,--wrap=pthread_cond_wait -Wl,--wrap=pthread_cond_broadcast

$(BUILD)/spec/calls_posix: $(BUILD)/obj/spec/support/calls_posix.o $(PROBED_CORE)
	@mkdir -p $(@D)
	$(CC) -o $@ $^ $(WRAP_SLEEP) $(ALL_LIBS)

$(BUILD)/spec/calls_simulated: $(BUILD)/obj/spec/support/calls_simulated.o $(SIMULATED_CORE)
	@mkdir -p $(@D)
	$(CC) -o $@ $^ $(WRAP_SLEEP) $(ALL_LIBS)

-include $(patsubst %.o,%.d,$(call objects,$(ALL_SOURCES)))
.SECONDARY:

# ---- Set-up

.PHONY: deps test-deps lint-deps ci-deps
deps: ## install the packages that building and running needs (Debian, Ubuntu)
	@.ci/install-packages $(BUILD_PACKAGES)
test-deps: ## install what the tests need
	@.ci/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES)
lint-deps: ## install what lint needs
	@.ci/install-packages $(BUILD_PACKAGES) $(LINT_PACKAGES)
ci-deps: ## install all that .ci/run needs
	@.ci/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES) $(LUA_PACKAGES) $(NGINX_PACKAGES) $(LINT_PACKAGES) \
	    $(FUZZ_PACKAGES) $(MODEL_PACKAGES) $(CI_PACKAGES)

# Packages first, then make again: the flags above ask pkg-config.
.PHONY: demo
demo: deps ## load this machine's package database, kill -9 the writer, show that nothing is lost
	@$(MAKE) -s -j$(JOBS) all
	@LUA_PATH="lua/?.lua;;" LUA_CPATH="$(BUILD)/lua/?.so;;" $(LUA) examples/demo.lua

# ---- Checks

.PHONY: checks test asan tsan
checks: all $(CHECKS) $(INTERNALS) $(BENCH_OWN) ## build the programs and modules that the tests use

test: test-deps ## run all tests, with normal and with tiny limits; the last line has the sum
	@$(MAKE) -s -j$(JOBS) checks
	@$(MAKE) -s -j$(JOBS) checks BUILD=$(BUILD)/tiny VARIANT=-DPKV_TINY
	@.ci/test $(BUILD) $(BUILD)/tiny

# What says nothing about a version of Lua: specs of the C library's insides, and of the command.
C_SPECS = $(patsubst %,spec/%_spec.lua,bench bytes check cli cli_message crate error file_message files fileset \
          format_doc manifest message platform prefetch reader record recovery repair salvage)
LUAS    = lua5.1 lua5.2 lua5.3 lua5.4

.PHONY: test-all lua-checks $(LUAS:%=checks-%)
test-all: test-deps ## run the specs on Lua 5.1 to 5.4, LuaJIT and OpenResty's LuaJIT, and in nginx
	@.ci/install-packages $(LUA_PACKAGES) $(NGINX_PACKAGES)
	@$(MAKE) -s -j$(JOBS) $(LUAS:%=checks-%)
	@LUAJIT_OPTIONS=$(LUAJIT_OPTIONS) .ci/luajit $(BUILD)/luajit $(LUAJIT_PACKAGES)
	@.ci/luajit $(BUILD)/luajit2 $(LUAJIT2_PACKAGES)
	@PKV_PROPERTY_OPS=$${PKV_PROPERTY_OPS:-50000} PKV_FOLDERS=$$(ls -d /dev/shm || echo /tmp) \
	    SPECS="$(filter-out $(C_SPECS),$(wildcard spec/*_spec.lua))" \
	    .ci/test $(LUAS:%=$(BUILD)/%) $(addprefix $(BUILD)/,luajit luajit-without-ffi luajit2)

$(LUAS:%=checks-%): checks-lua%:
	@$(MAKE) -s lua-checks BUILD=$(BUILD)/lua$* LUA_VERSION=$*
	@ln -sfn $$(command -v lua$*) $(BUILD)/lua$*/interpreter

lua-checks: $(MODULE) $(COMMAND) $(INTERNALS)

ASAN = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TSAN = -fsanitize=thread

asan: test-deps ## run all tests under AddressSanitizer and UBSan
	@$(MAKE) -s -j$(JOBS) checks BUILD=$(BUILD)/asan VARIANT="$(ASAN)"
	@SPEC_PRELOAD="$$($(CC) -print-file-name=libasan.so)" .ci/test $(BUILD)/asan

tsan: test-deps ## run the C check programs under ThreadSanitizer
	@$(MAKE) -s -j$(JOBS) checks BUILD=$(BUILD)/tsan VARIANT="$(TSAN)"
	@.ci/test --programs $(BUILD)/tsan

# The Lua suite, but for a spec that loads and unloads the module so often that Valgrind 3.19 loses count
# of its segments' names, and stops. Of what is tried thousands of times, only some is.
VALGRIND_SPECS = $(filter-out $(C_SPECS) spec/lua_lifetime_spec.lua,$(wildcard spec/*_spec.lua))

.PHONY: valgrind
valgrind: test-deps ## run the Lua suite under Valgrind
	@.ci/install-packages $(VALGRIND_PACKAGES)
	@$(MAKE) -s -j$(JOBS) lua-checks BUILD=$(BUILD)/valgrind
	@cp .ci/valgrind $(BUILD)/valgrind/interpreter
	@PKV_PROPERTY_OPS=2000 PKV_STRIDE=25 SPECS="$(VALGRIND_SPECS)" .ci/test $(BUILD)/valgrind

.PHONY: planted
planted: test-deps ## show that the tests find each fault that can be planted, see spec/planted/faults
	@$(MAKE) -s -j$(JOBS) checks BUILD=$(BUILD)/planted VARIANT=-DPKV_PLANT
	@JOBS=$(JOBS) spec/planted/run $(BUILD)/planted

# The product's own sources, also where a test includes them. Atomic, since threads count too. The tests
# are built as ever, and try as much as under AddressSanitizer.
COUNT   ?=
$(call objects,$(CORE_SOURCES) $(LUA_SOURCES) $(CLI_SOURCES) spec/support/probe.c): COUNTED = $(COUNT)
COVERAGE = --coverage -fprofile-update=atomic -O0
# Integers of 64 bits, and what else LuaJIT's library FFI does.
FFI_SPECS = $(patsubst %,spec/%_spec.lua,ffi integers keys msgpack values)

.PHONY: coverage
coverage: test-deps ## run all tests, show how many branches they take; fail below what is wanted
	@.ci/install-packages $(COVERAGE_PACKAGES) $(LUA_PACKAGES)
	@$(MAKE) -s -j$(JOBS) checks BUILD=$(BUILD)/coverage COUNT="$(COVERAGE)" VARIANT=-DPKV_COVERAGE
	@$(MAKE) -s -j$(JOBS) lua-checks BUILD=$(BUILD)/coverage/lua5.1 LUA_VERSION=5.1 COUNT="$(COVERAGE)"
	@.ci/luajit $(BUILD)/coverage/luajit $(LUAJIT2_PACKAGES)
	@find $(BUILD)/coverage -name '*.gcda' -delete
	@.ci/test $(BUILD)/coverage
	@SPECS="$(FFI_SPECS)" .ci/test $(BUILD)/coverage/luajit
	@.ci/coverage $(BUILD)/coverage

.PHONY: fuzz fuzz-deps fuzzers fuzz-seeds
FUZZ = -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_SECONDS ?= 60

fuzz-deps: ## install what fuzzing needs
	@.ci/install-packages $(BUILD_PACKAGES) $(FUZZ_PACKAGES)

fuzzers: $(FUZZERS)

fuzz: fuzz-deps ## let each fuzz target run for FUZZ_SECONDS (60), see spec/fuzz/support.h
	@$(MAKE) -s -j$(JOBS) fuzzers BUILD=$(BUILD)/fuzz CC=clang VARIANT="$(FUZZ)"
	@JOBS=$(JOBS) spec/fuzz/run $(BUILD)/fuzz $(FUZZ_SECONDS)

fuzz-seeds: test-deps ## make the first inputs of the fuzz targets anew
	@$(MAKE) -s -j$(JOBS) all
	@LUA_PATH="lua/?.lua;./?.lua;;" LUA_CPATH="$(BUILD)/lua/?.so;;" $(LUA) spec/fuzz/seeds.lua \
	    spec/fuzz/corpus

.PHONY: model model-deps
model-deps: ## install what checking the model needs
	@.ci/install-packages $(MODEL_PACKAGES)

model: model-deps ## walk through all states of the model of the protocol, see spec/model/protocol.pml
	@JOBS=$(JOBS) spec/model/run $(BUILD)/model

.PHONY: soak
SOAK_SECONDS ?= 3600
soak: test-deps fuzz-deps model-deps ## let each long test run for SOAK_SECONDS (3600), see doc/reliability.md
	@$(MAKE) -s -j$(JOBS) checks
	@MAKE="$(MAKE)" spec/soak $(BUILD) $(SOAK_SECONDS)

.PHONY: interop
interop: deps ## compare with the Rust crate, both directions (needs cargo)
	@$(MAKE) -s -j$(JOBS) all
	@spec/interop/run $(BUILD)

# ---- Benchmark: a program for each store, made of an adapter and the driver, see bench/README.md

CXX ?= c++
$(BUILD)/bench/pkv: $(BUILD)/libpkv.a
$(BUILD)/bench/pkv:        BENCH_LIBS = $(BUILD)/libpkv.a $(ALL_LIBS)
$(BUILD)/bench/leveldb:    BENCH_LIBS = -lleveldb
$(BUILD)/bench/lmdb:       BENCH_LIBS = -llmdb
$(BUILD)/bench/redis:      BENCH_LIBS = -lhiredis
$(BUILD)/bench/rocksdb:    BENCH_LIBS = -lrocksdb
$(BUILD)/bench/sqlite:     BENCH_LIBS = -lsqlite3
$(BUILD)/bench/tkrzw_hash: BENCH_LIBS = -ltkrzw
$(BUILD)/bench/tkrzw_tiny: BENCH_LIBS = -ltkrzw
$(BUILD)/bench/wiredtiger: BENCH_LIBS = -lwiredtiger

$(BUILD)/obj/bench/%.o: bench/%.cc Makefile
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(OPTIMIZE) -pthread $(WARNINGS) $(VARIANT) -MMD -MP $(CPPFLAGS) $(CXXFLAGS) -c $< -o $@

# One object, for programs in other languages.
$(BUILD)/bench/driver.o: $(BENCH_DRIVER)
	@mkdir -p $(@D)
	$(LD) -r -o $@ $^

$(BUILD)/bench/bench_c.so: $(call objects,bench/lua/bench_c.c)
	@mkdir -p $(@D)
	$(CC) -shared -o $@ $^ $(VARIANT) $(LDFLAGS)
$(call objects,bench/lua/bench_c.c): CPPFLAGS += -fvisibility=default

$(BUILD)/bench/micro: $(call objects,bench/micro.c bench/driver/workload.c bench/driver/system.c) $(BUILD)/libpkv.a
	@mkdir -p $(@D)
	$(CC) -o $@ $^ $(ALL_LIBS) -lm

$(BUILD)/bench/%: $(BUILD)/obj/bench/peers/%.o $(BUILD)/bench/driver.o
	@mkdir -p $(@D)
	$(if $(wildcard bench/peers/$*.cc),$(CXX),$(CC)) -o $@ $(filter %.o,$^) $(BENCH_LIBS) -lm -pthread $(VARIANT) $(LDFLAGS)

-include $(wildcard $(BUILD)/obj/bench/*.d $(BUILD)/obj/bench/*/*.d)

.PHONY: bench bench-quick bench-readme bench-micro bench-lua bench-deps bench-programs
bench-deps: ## install what the benchmark needs: the other stores, gnuplot
	@.ci/install-packages $(BUILD_PACKAGES) $(BENCH_PACKAGES)

bench-programs: all $(BENCH_OWN) $(BENCH_PROGRAMS) $(BUILD)/bench/driver.o

bench: bench-deps ## compare with other stores, for an hour or two; see bench/README.md
	@$(MAKE) -s -j$(JOBS) bench-programs
	@bench/run $(BUILD) full

bench-quick: bench-deps ## the core figures of it, in less than two minutes
	@$(MAKE) -s -j$(JOBS) bench-programs
	@bench/run $(BUILD) quick

bench-readme: ## put the last figures of `make bench` into bench/README.md
	@cd bench && LUA_PATH="?.lua;;" $(LUA) ./report.lua results full --readme >/dev/null

bench-micro: deps ## what each operation of the store alone costs, in cache and out of it
	@$(MAKE) -s -j$(JOBS) $(BUILD)/bench/micro
	@cd $(BUILD)/bench && ./micro

bench-lua: bench-deps ## what the Lua module itself costs, in Lua 5.4 and in OpenResty's LuaJIT
	@$(MAKE) -s -j$(JOBS) all $(BENCH_OWN) checks-lua5.1
	@.ci/luajit $(BUILD)/luajit2 $(LUAJIT2_PACKAGES)
	@LUA_CPATH="$(BUILD)/lua/?.so;$(BUILD)/bench/?.so;;" $(LUA) bench/lua/micro.lua
	@LUA_PATH="lua/?.lua;;" LUA_CPATH="$(BUILD)/luajit2/lua/?.so;;" $(BUILD)/luajit2/interpreter bench/lua/micro.lua

OWN_C = $(filter-out %.pb-c.c %.pb-c.h,$(wildcard src/*.[ch] src/*/*.[ch] spec/*/*.[ch] \
        bench/*.[ch] bench/*/*.[ch] bench/*/*.cc examples/*.[ch]))
LUA_FOLDERS = $(wildcard lua spec examples bench .ci/layers.lua)

.PHONY: lint format
lint: lint-deps ## check layers, lengths, formatting, warnings, Lua files, generated files
	@$(LUA) .ci/layers.lua $(OWN_C)
	@clang-format --dry-run -Werror $(OWN_C)
	@luacheck --quiet $(LUA_FOLDERS)
	@$(LUA) .ci/rockspec.lua --check $(ROCK_FILES)
	@$(MAKE) -s proto-check
	@$(MAKE) -s -j$(JOBS) checks BUILD=$(BUILD)/clang CC=clang

format: ## format all C files
	@clang-format -i $(OWN_C)

# ---- Generated files: committed, so that a user needs no compiler for them

PROTO = cd $(1) && protoc-c --c_out=$(2) $(3)
# The version of the generator stands in the header and means nothing.
PROTO_VERSION = s/[0-9]* < PROTOBUF_C_MIN_COMPILER_VERSION/N < PROTOBUF_C_MIN_COMPILER_VERSION/

.PHONY: rockspec proto proto-check
ROCK_FILES = $(CORE_SOURCES) $(LUA_SOURCES) $(LUA_FILES:%=lua/%)

rockspec: ## bring the rockspecs' lists of files up to date
	@$(LUA) .ci/rockspec.lua $(ROCK_FILES)

proto: ## make the protobuf-c files anew
	$(call PROTO,src/disk,.,manifest.proto)
	$(call PROTO,src/disk,../../spec/support,record.proto)

proto-check:
	@rm -rf $(BUILD)/proto && mkdir -p $(BUILD)/proto
	@$(call PROTO,src/disk,$(abspath $(BUILD)/proto),manifest.proto record.proto)
	@for made in $(BUILD)/proto/*; do \
	    name=$${made##*/}; kept=src/disk/$$name; \
	    [ -e $$kept ] || kept=spec/support/$$name; \
	    sed '$(PROTO_VERSION)' $$kept > $(BUILD)/proto/kept; \
	    sed '$(PROTO_VERSION)' $$made | diff -u $(BUILD)/proto/kept - > $(BUILD)/proto/diff || \
	        { echo "$$kept is not what its .proto makes: run make proto"; \
	          cat $(BUILD)/proto/diff; exit 1; }; \
	done

# ---- Installing

ROOT   = $(DESTDIR)$(PREFIX)
LUADIR = $(ROOT)/share/lua/$(LUA_VERSION)
LUA_FILES = $(shell cd lua 2>/dev/null && find . -name '*.lua' | sed 's|^\./||')

.PHONY: install uninstall
install: all ## install under PREFIX (default /usr/local), below DESTDIR
	$(INSTALL) -d $(ROOT)/bin $(ROOT)/include $(ROOT)/lib/pkgconfig $(ROOT)/lib/lua/$(LUA_VERSION)
	$(INSTALL) -m 755 $(BUILD)/pkv $(ROOT)/bin/pkv
	$(INSTALL) -m 644 src/pkv.h src/pkv_protobuf.h $(ROOT)/include
	$(INSTALL) -m 755 $(BUILD)/libpkv.so.1 $(ROOT)/lib/libpkv.so.1
	ln -sf libpkv.so.1 $(ROOT)/lib/libpkv.so
	$(INSTALL) -m 644 $(BUILD)/libpkv.a $(ROOT)/lib/libpkv.a
	$(FILL_PC) > $(ROOT)/lib/pkgconfig/pkv.pc
	$(INSTALL) -m 755 $(BUILD)/lua/pkv.so $(ROOT)/lib/lua/$(LUA_VERSION)/pkv.so
	@for file in $(LUA_FILES); do \
	    $(INSTALL) -D -m 644 lua/$$file $(LUADIR)/$$file || exit 1; \
	done

uninstall: ## remove what install put there
	rm -f $(ROOT)/bin/pkv $(ROOT)/include/pkv.h $(ROOT)/include/pkv_protobuf.h \
	    $(ROOT)/lib/libpkv.so $(ROOT)/lib/libpkv.so.1 $(ROOT)/lib/libpkv.a \
	    $(ROOT)/lib/pkgconfig/pkv.pc $(ROOT)/lib/lua/$(LUA_VERSION)/pkv.so
	@for file in $(LUA_FILES); do rm -f $(LUADIR)/$$file; done
	@for folder in pkv resty; do \
	    [ ! -d $(LUADIR)/$$folder ] || rmdir --ignore-fail-on-non-empty $(LUADIR)/$$folder; \
	done

.PHONY: clean help
clean: ## remove all that was built
	rm -rf build $(BUILD)

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
