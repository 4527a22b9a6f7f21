# Everything a person does with this checkout. `make` alone lists it. The targets install what
# they need (scripts/setup), so that each one works on a fresh clone.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin

# SCENARIO=… for `make call`, NAME=… for `make drill`, ARGS=… for anything more: make call SCENARIO=keypad
SCENARIO ?= internet-resolved
NAME ?=
# SPEECH=cloud for `make demo`: over the kits of the clouds, which are emulated
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

help: ## this list
	@awk '/^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { split($$0, part, ":.*## "); printf "  make %-14s %s\n", part[1], part[2] }' \
	  $(MAKEFILE_LIST)

##@ Try it

demo: ## install what is missing, then hold three whole conversations (SPEECH=cloud: over the clouds' kits)
	@scripts/setup $(if $(filter cloud,$(SPEECH)),emulator,demo)
	@$(BIN)/voicebot demo --speech $(SPEECH) $(ARGS)

serve: ## run the service here, for Asterisk or `make call`
	@scripts/setup demo
	@exec $(BIN)/voicebot serve $(ARGS)

call: ## one simulated customer calls the running service (SCENARIO=internet-resolved)
	@scripts/setup demo
	@$(BIN)/voicebot call $(SCENARIO) $(ARGS)

asterisk: ## an Asterisk beside `make serve`, to dial 777 with a softphone; says how
	@scripts/local-asterisk

doctor: ## is this machine ready? what is wrong, and what to do
	@scripts/setup demo
	@$(BIN)/voicebot doctor $(ARGS)

images: ## build the images of the voicebot and of Asterisk (needs Docker)
	@scripts/setup images
	@scripts/build-images $(ARGS)

up: ## the whole appliance on this machine, in containers; says how to call it
	@scripts/appliance up

down: ## stop it; recordings and journal stay
	@scripts/appliance down

prompts: ## render what the bot says into the prompt cache
	@scripts/setup demo

##@ Put it on a host

bundle: ## the images of this version, into var/bundle (Docker, or root to start one)
	@scripts/setup images
	@scripts/bundle

deploy: ## a fresh host becomes the appliance, or is brought up to date
	@scripts/setup deploy
	@$(PLAYBOOK) site.yml $(ARGS)

verify: ## the self-check of a host: real calls, and what they leave behind
	@scripts/setup deploy
	@$(PLAYBOOK) verify.yml $(ARGS)

rollback: ## back to what ran before the last deployment
	@scripts/setup deploy
	@$(PLAYBOOK) rollback.yml $(ARGS)

uninstall: ## take it off a host; recordings and journal stay
	@scripts/setup deploy
	@$(PLAYBOOK) uninstall.yml $(ARGS)

##@ Work on it

setup: ## install everything that the tests and the checks need
	@scripts/setup test

test: ## all tests, with real speech and a real Asterisk
	@scripts/setup test
	@scripts/get-asterisk
	@scripts/get-prometheus
	@$(BIN)/pytest -m "not appliance and not docker and not drill" $(ARGS)

test-docker: ## the images in a Docker engine of their own: called, attacked, restarted (needs root)
	@scripts/setup docker
	@scripts/test-docker $(ARGS)

test-by-hand: ## what the pages on setting up without Ansible say, typed on fresh hosts (needs root)
	@scripts/setup appliance
	@scripts/bundle
	@$(BIN)/pytest tests/by_hand $(ARGS)

test-appliance: ## a fresh host in a machine of its own, set up by Ansible (needs root)
	@scripts/setup appliance
	@scripts/get-asterisk
	@scripts/bundle
	@RELEASE=$(RELEASE) $(BIN)/pytest tests/appliance $(ARGS)

test-fast: ## the tests that need neither models nor Asterisk nor a running service
	@scripts/setup lint
	@$(BIN)/pytest -m "not speech and not asterisk and not service and not appliance and not docker and not promtool and not drill" $(ARGS)

test-drills: ## each fault of `make drill`, with short windows (a quarter of an hour)
	@scripts/setup test
	@scripts/get-asterisk
	@scripts/get-prometheus
	@$(BIN)/pytest tests/drills $(ARGS)

drill: ## play a fault on a real system and see the alert arrive: NAME=dead-stt, ARGS=--real-windows
	@scripts/setup test
	@scripts/get-asterisk
	@scripts/get-prometheus
	@$(BIN)/python -m tests.drills.play $(ARGS) $(NAME)

lint: ## formatting, types, architecture, shell, YAML, units, Prometheus
	@scripts/setup lint
	@scripts/get-prometheus || true
	@scripts/lint

format: ## put the code into its one format
	@scripts/setup lint
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: ## measure the figures of docs/reference/figures.md on this machine
	@scripts/setup test
	@$(BIN)/python -m bench $(ARGS)

bench-containers: ## 20 calls through containers and outside, and how fast they start (needs root)
	@scripts/setup test
	@scripts/setup docker
	@scripts/get-asterisk
	@scripts/with-engine cloud full asterisk -- sh -c 'scripts/bench-docker cold_start && scripts/bench-docker contained'

kills: ## kill -9 at 200 random moments each of recording, converting and backing up (half an hour)
	@scripts/setup test
	@$(BIN)/python -m bench.kills $(ARGS)

docs: ## regenerate the pages and files that are made from the code
	@scripts/setup lint
	@scripts/generate

dashboards: ## draw the dashboards over a service with calls, to docs/images (needs chromium)
	@scripts/setup test
	@scripts/get-asterisk
	@scripts/get-prometheus
	@scripts/draw-dashboards $(ARGS)

lock: ## compile pyproject.toml into requirements/*.txt (ARGS=--upgrade for the newest)
	@scripts/lock $(ARGS)

clean: ## remove everything that can be made again; recordings and the journal stay
	rm -rf .venv .*_cache .hypothesis build dist *.egg-info var/cache var/models var/asterisk var/demo var/appliance
	find voicebot tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
