# Everything people do with this checkout; `make` alone lists it. Each target installs what it
# needs (scripts/setup), so every one of them works on a fresh clone.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin

# SCENARIO=… for `make call`, NAME=… for `make drill`, ARGS=… for anything more: make call SCENARIO=keypad
SCENARIO ?= internet-resolved
NAME ?=
# SPEECH=cloud for `make demo`: over the clouds' SDKs, with the clouds emulated
SPEECH ?= local
ARGS ?=
# The distribution of the host: make test-appliance RELEASE=trixie (or jammy, noble)
RELEASE ?= bookworm
# Whose hosts: make deploy INVENTORY=…
INVENTORY ?= ansible/inventory/production
PLAYBOOK = test -d $(INVENTORY) || { echo "there is no $(INVENTORY): copy ansible/inventory/example there, \
or name yours: INVENTORY=…" >&2; exit 2; }; \
	cd ansible && exec ../$(BIN)/ansible-playbook -i $(abspath $(INVENTORY))

.PHONY: help setup demo serve call asterisk prompts doctor down up images test test-docker test-by-hand test-appliance test-drills drill test-fast lint format bench bench-containers kills docs dashboards lock clean bundle deploy verify rollback uninstall

help: ## show this list
	@awk '/^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { split($$0, part, ":.*## "); printf "  make %-14s %s\n", part[1], part[2] }' \
	  $(MAKEFILE_LIST)

##@ Try it

demo: ## install what is missing, then run three whole conversations (SPEECH=cloud: over the clouds' SDKs)
	@scripts/setup $(if $(filter cloud,$(SPEECH)),emulator,demo)
	@$(BIN)/voicebot demo --speech $(SPEECH) $(ARGS)

serve: ## run the service here, for Asterisk or `make call` to call
	@scripts/setup demo
	@exec $(BIN)/voicebot serve $(ARGS)

call: ## have a simulated customer call the running service (SCENARIO=internet-resolved)
	@scripts/setup demo
	@$(BIN)/voicebot call $(SCENARIO) $(ARGS)

asterisk: ## run an Asterisk next to `make serve` and print how to dial 777 with a softphone
	@scripts/local-asterisk

doctor: ## check whether this machine is ready; say what is wrong and how to fix it
	@scripts/setup demo
	@$(BIN)/voicebot doctor $(ARGS)

images: ## build the images of the voicebot and of Asterisk (needs Docker)
	@scripts/setup images
	@scripts/build-images $(ARGS)

up: ## run the whole appliance on this machine, in containers, and print how to call it
	@scripts/appliance up

down: ## stop the appliance; recordings and journal stay
	@scripts/appliance down

prompts: ## render what the bot says into the prompt cache
	@scripts/setup demo

##@ Put it on a host

bundle: ## build this version's images into var/bundle (needs Docker, or root to start one)
	@scripts/setup images
	@scripts/bundle

deploy: ## set up a fresh host, or bring it up to date
	@scripts/setup deploy
	@$(PLAYBOOK) site.yml $(ARGS)

verify: ## run a host's self-check: real calls, and the traces they must leave
	@scripts/setup deploy
	@$(PLAYBOOK) verify.yml $(ARGS)

rollback: ## go back to what ran before the last deployment
	@scripts/setup deploy
	@$(PLAYBOOK) rollback.yml $(ARGS)

uninstall: ## remove it from a host; recordings and journal stay
	@scripts/setup deploy
	@$(PLAYBOOK) uninstall.yml $(ARGS)

##@ Work on it

setup: ## install everything that the tests and checks need
	@scripts/setup test

test: ## run all tests, with real speech and a real Asterisk
	@scripts/setup test
	@scripts/get-asterisk
	@scripts/get-prometheus
	@$(BIN)/pytest -m "not appliance and not docker and not drill" $(ARGS)

test-docker: ## test the images in a Docker engine of their own: call, attack, restart them (needs root)
	@scripts/setup docker
	@scripts/test-docker $(ARGS)

test-by-hand: ## follow the how-tos for setup without Ansible literally, on fresh hosts (needs root)
	@scripts/setup appliance
	@scripts/bundle
	@$(BIN)/pytest tests/by_hand $(ARGS)

test-appliance: ## set up a fresh host in a machine of its own with Ansible (needs root)
	@scripts/setup appliance
	@scripts/get-asterisk
	@scripts/bundle
	@RELEASE=$(RELEASE) $(BIN)/pytest tests/appliance $(ARGS)

test-fast: ## run the tests that need no models, Asterisk or running service
	@scripts/setup lint
	@$(BIN)/pytest -m "not speech and not asterisk and not service and not appliance and not docker and not promtool and not drill" $(ARGS)

test-drills: ## run every fault of `make drill`, with short windows (a quarter of an hour)
	@scripts/setup test
	@scripts/get-asterisk
	@scripts/get-prometheus
	@$(BIN)/pytest tests/drills $(ARGS)

drill: ## inject a fault into a real system and see the alert arrive: NAME=dead-stt, ARGS=--real-windows
	@scripts/setup test
	@scripts/get-asterisk
	@scripts/get-prometheus
	@$(BIN)/python -m tests.drills.play $(ARGS) $(NAME)

lint: ## check formatting, types, architecture, shell, YAML, units, Prometheus
	@scripts/setup lint
	@scripts/get-prometheus || true
	@scripts/lint

format: ## format the code
	@scripts/setup lint
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: ## measure the figures of docs/reference/figures.md on this machine
	@scripts/setup test
	@$(BIN)/python -m bench $(ARGS)

bench-containers: ## measure 20 calls in containers and outside, and how fast they start (needs root)
	@scripts/setup test
	@scripts/setup docker
	@scripts/get-asterisk
	@scripts/with-engine cloud full asterisk -- sh -c 'scripts/bench-docker cold_start && scripts/bench-docker contained'

kills: ## kill -9 recording, converting and backing up at 200 random moments each (half an hour)
	@scripts/setup test
	@$(BIN)/python -m bench.kills $(ARGS)

docs: ## regenerate the pages and files that are generated from the code
	@scripts/setup lint
	@scripts/generate

dashboards: ## render the dashboards from a service with live calls into docs/images (needs chromium)
	@scripts/setup test
	@scripts/get-asterisk
	@scripts/get-prometheus
	@scripts/draw-dashboards $(ARGS)

lock: ## compile pyproject.toml into requirements/*.txt (ARGS=--upgrade for the newest)
	@scripts/lock $(ARGS)

clean: ## remove everything that can be rebuilt; recordings and the journal stay
	rm -rf .venv .*_cache .hypothesis build dist *.egg-info var/cache var/models var/asterisk var/demo var/appliance
	find voicebot tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
