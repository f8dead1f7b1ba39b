# Thin: the targets are the README's commands; meson and ninja do the work.
BUILD ?= build

.PHONY: all check test demo bench lint format clean deps

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) >/dev/null || { cat $(BUILD)/meson-logs/meson-log.txt; exit 1; }

deps:
	@tools/deps build

check: all
	@tools/deps test
	@tests/run --build $(BUILD) --tier check

test: all
	@tools/deps test
	@tests/run --build $(BUILD) --tier test

demo: all
	@tools/deps demo
	@tests/demo/demo $(BUILD)/cvisor

bench: all
	@tools/deps bench
	@tests/bench/bench $(BUILD)/cvisor

lint:
	@tools/deps lint
	@tools/lint

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf $(BUILD)
