# Pumice. `make run` and `make test` work on a fresh Debian 12 machine, as root or with sudo.
.DEFAULT_GOAL := help
.PHONY: help run tour test whole collect lint wheel test-kernel fast costs check format clients failures verbs postgresql kill pairs ceph notifications power-cut upgrade chaos bench scale lock pictures types clean

BIN := .venv/bin
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env)
MAY_BE_ROOT = [ "$$(id -u)" = 0 ] || sudo true 2>/dev/null || \
	{ echo "make $@: exports and guests need root: run it as root, or as a user who may use sudo." >&2; exit 1; }
PYTEST := $(BIN)/pytest -n auto
# Tests start hundreds of processes: let Python keep its bytecode, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=
COMPILE := -q --python-version 3.11 --generate-hashes --no-header --no-annotate
LOCK := $(BIN)/uv pip compile pyproject.toml $(COMPILE)
CONSOLE_LOCK := $(BIN)/uv pip compile --group console $(COMPILE)
# How a docstring begins that continues another.
CONTINUES := The same|Those|It|Its|And|Of|So|Both|None there|One word|Nothing more|There (is|are)|They|Them|Then|Also|Likewise
DEV := --group test --group bench --group check

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 16

run: ## install what is missing, give the guided tour, then keep serving: make run PORT=8877
	@$(MAY_BE_ROOT)
	@scripts/setup run
	@$(AS_ROOT) $(BIN)/pumice tour --stay $(if $(PORT),--port $(PORT))

tour: ## the guided tour alone; exits 0 or 1
	@$(MAY_BE_ROOT)
	@scripts/setup run
	@$(AS_ROOT) $(BIN)/pumice tour

test: ## the tests, also with real daemons and guests: make test T=tests/app
	@scripts/setup dev
	$(AS_ROOT) scripts/test $(T)

whole: ## the tests with nothing left to the draw of a seed; twenty minutes
	@scripts/setup dev
	TEST_SEED=all $(AS_ROOT) scripts/test $(T)

costs: ## run all tests on an idle machine, and note in docs/testing.md what they cost
	@scripts/setup dev
	TEST_SEED=all $(AS_ROOT) $(PYTEST) --record-costs

wheel: ## the wheel alone in a clean Debian: installed, served, upgraded, removed; ten minutes
	@scripts/setup wheel
	$(AS_ROOT) $(BIN)/pytest -n 0 -m long -rP tests/wheel tests/app/test_wheel.py

test-kernel: ## only those that need a kernel of their own: LVM, NFS, kernel targets and initiators
	@scripts/setup dev
	TEST_MANY=200 $(AS_ROOT) $(PYTEST) -n 2 -m kernel

fast: ## a quick look, a fifth of what starts no tgtd, libvirtd or guest; with T all of it: make fast T=tests/scheduler
	@scripts/setup dev
	$(if $(T),,TEST_ONE_IN=5 )$(PYTEST) $(if $(T),,-n 4) -m "not real and not kernel and not long" $(T)

check: lint collect ## format, lint, types, who may import whom, and whether each test can be imported

lint:
	@scripts/setup dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@! grep -rnE --include='*.py' '^ *r?"""($(CONTINUES))\b' src || { echo "make $@: a docstring stands alone: say what it is about" >&2; exit 1; }
	scripts/console run --silent check

collect:
	@scripts/setup dev
	@mkdir -p .cache
	$(BIN)/pytest --collect-only -qq --no-summary >.cache/collected || { grep -v ^tests/ .cache/collected >&2; exit 1; }
	@twice=$$(find tests -name 'test_*.py' -printf '%f\n' | sort | uniq -d); [ -z "$$twice" ] || \
		{ echo "make $@: pytest tells files of tests apart by their names: $$twice" >&2; exit 1; }

format: ## format the code, and repair what the linter can
	@scripts/setup dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clients: ## the functional suites of openstacksdk, openstack, cinder, nova, gophercloud and Tempest: T=tempest.api.volume
	@scripts/setup clients
	$(AS_ROOT) $(BIN)/python -m tests.clients $(T)

failures: ## what Cinder fails at, repeated here; a table, about five minutes
	@scripts/setup dev
	$(AS_ROOT) $(BIN)/python -m tests.failures

verbs: ## every trial of every verb, on PostgreSQL too, with all loops looking on, and restored; some minutes
	@scripts/setup dev
	$(PYTEST) -m "long or not long" tests/loops/test_repair_amid_operations.py \
		$(addprefix tests/operations/,test_every_verb.py test_restored_database.py test_two_at_once.py)

postgresql: ## all that runs on both databases, on PostgreSQL: make postgresql T=tests/api/volume
	@scripts/setup dev
	$(AS_ROOT) $(PYTEST) -m "long or not long" -k postgresql $(or $(T),tests/api tests/loops)

kill: ## kill -9 at every point of every operation, on both databases; a table, about twenty minutes
	@scripts/setup dev
	$(AS_ROOT) $(BIN)/python -m tests.kill

pairs: ## every two verbs that can touch one thing, in every order of their steps; a table, some minutes
	@scripts/setup dev
	PYTHONPATH=tests:tests/operations $(BIN)/python -m tests.pairs

ceph: ## all tests of the backend rbd and of backups in radosgw, on a Ceph of their own; about half an hour
	@scripts/setup dev
	TEST_MANY=200 $(AS_ROOT) $(BIN)/pytest -n 2 -m "long or not long" -k "ceph or rbd or radosgw" tests/ceph tests/conformance tests/backups

notifications: ## a real RabbitMQ that a listener of oslo.messaging's hears, killed and stopped; two minutes
	@scripts/setup notifications
	$(AS_ROOT) $(BIN)/pytest -n 0 -m long tests/broker

power-cut: ## a disk that drops what was not flushed, in a guest: two file systems, two databases; ten minutes
	@scripts/setup dev
	$(AS_ROOT) $(BIN)/pytest -n 0 -m kernel -rP tests/kernel/test_lost_writes.py

upgrade: ## the version before and this one at work at once, while clients work; two minutes
	@scripts/setup dev
	$(BIN)/pytest -n 0 -m long -rP tests/roles/test_upgrades.py

chaos: ## break whatever can be broken while clients work: make chaos SEED=7 MINUTES=5
	@scripts/setup dev
	$(AS_ROOT) $(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),30)

bench: ## the benchmarks, with what they mean
	@scripts/setup dev
	$(BIN)/python -m benchmarks.transactions
	$(BIN)/python -m benchmarks
	$(AS_ROOT) $(BIN)/python -m benchmarks.reach
	$(AS_ROOT) $(BIN)/python -m benchmarks.reference_stack

scale: ## what users and loops wait for, at 1,000 volumes and at many: make scale VOLUMES=1000000
	@scripts/setup dev
	$(BIN)/python -m benchmarks.scale --volumes $(or $(VOLUMES),20000)

lock: ## choose versions anew: requirements/*.txt from pyproject.toml
	@scripts/setup dev
	$(LOCK) --upgrade --extra kernel --extra s3 --extra notifications --extra client $(DEV) --group clients -o requirements/clients.txt
	$(LOCK) -c requirements/clients.txt --extra kernel --extra s3 --extra notifications $(DEV) -o requirements/dev.txt
	$(LOCK) -c requirements/clients.txt --extra client -o requirements/run.txt
	$(CONSOLE_LOCK) --upgrade -o requirements/console.txt
	scripts/console update --no-audit --no-fund

PICTURES = .cache/pictures
pictures: ## those of docs/console.md, as the tests of the console look at its pages
	@scripts/setup dev
	rm -rf $(PICTURES) && mkdir -p $(PICTURES)
	TEST_SCREENSHOTS=$(PICTURES) $(BIN)/pytest -n 0 -q tests/console -k "clicking or operator_reads or rate"
	mv $(PICTURES)/*-390.png $(PICTURES)/*-1280.png docs/console/

types: ## the console's types of Pumice's own API, out of its OpenAPI document
	@scripts/setup dev
	@mkdir -p .cache
	$(BIN)/python -c 'import orjson, sys; from pumice.api.own.service import DOCUMENT; sys.stdout.buffer.write(orjson.dumps(DOCUMENT))' \
		| scripts/console run --silent types > .cache/api.ts
	mv .cache/api.ts console/src/api.ts

clean: ## remove what was made here, except for the state of an installation
	rm -rf .venv .cache .*_cache .hypothesis build dist src/pumice/console console/node_modules
	find src tests -name __pycache__ -prune -exec rm -rf {} +
