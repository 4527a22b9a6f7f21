"""The pages for whoever is on call: overview, latency, providers."""

from __future__ import annotations

from grafana.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Json,
    bars,
    dashboard,
    graph,
    heatmap,
    row,
    stat,
)
from prometheus.table import load

OUTCOMES = {
    "completed": GREEN, "transferred": BLUE, "callback": PURPLE, "caller_hangup": GREY,
    "no_input": YELLOW, "rejected": ORANGE, "failed": RED,
}  # fmt: skip
TURNS = {
    "answered": GREEN, "interrupted": BLUE, "no_input": YELLOW, "no_match": ORANGE, "failed": RED,
}  # fmt: skip
REPLIES = {
    "answered": GREEN, "understood": BLUE, "unclear": YELLOW, "misfit": ORANGE, "failed": RED,
}  # fmt: skip
WAITING_FOR = {"stt": YELLOW, "llm": PURPLE, "tts": GREEN, "storage": RED}
REQUESTS = {"ok": GREEN, "cancelled": GREY, "timeout": ORANGE, "error": RED}
STAGES = {"endpointing": BLUE, "llm": PURPLE, "tts": GREEN, "playout": GREY}

BUDGET = ((None, RED), (0.0, ORANGE), (0.25, YELLOW), (0.5, GREEN))
OBJECTIVES = load().objectives
RESPONSE = (
    (OBJECTIVES["turn-comfort"].threshold, YELLOW), (OBJECTIVES["turn-response"].threshold, RED),
)  # fmt: skip
LATE = OBJECTIVES["audio-continuity"].budget
RESPONSES = "voicebot_turn_response_seconds"
BUSY = '(1 - sum by (instance, cpu) (rate(node_cpu_seconds_total{@,mode=~"idle|iowait|steal"}[R])))'
CORES = ((ORANGE, 4), (BLUE, 1), (GREEN, 1))
"""How those of the event loop, of workers and of nobody are drawn."""


def quantile(share: float, histogram: str, by: str = "le") -> str:
    """An expression for a quantile of a histogram, given by its selector without ``_bucket``."""
    name, _, rest = histogram.partition("{")
    bucket = f"{name}_bucket{{{rest or '@}'}"
    return f"histogram_quantile({share}, sum by ({by}) (rate({bucket}[R])))"


def quantiles(histogram: str) -> tuple[tuple[str, str], ...]:
    return tuple((quantile(share, histogram), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99))


def mean_wait(to: tuple[str, ...]) -> Json:
    """What callers wait for, stage by stage."""
    return graph(
        "Mean wait, by stage",
        "The widest band is the stage to look at; the bands add up to the mean wait.", "s",
        ("sum by (stage) (rate(voicebot_turn_stage_seconds_sum{@}[R]))"
         " / ignoring (stage) group_left ()"
         f" sum(rate({RESPONSES}_count{{@}}[R]))", "{{stage}}"),
        stack=True, colors=STAGES, to=to,
    )  # fmt: skip


def of_cores(share: str, role: str) -> str:
    """*share* by instance and cpu, for the cores of a role."""
    return f'{share} * on (instance, cpu) group_left (role) voicebot_core_role{{@,role="{role}"}}'


def each_core(to: tuple[str, ...] = ()) -> Json:
    """How busy each core is, and whose it is."""
    return graph(
        "CPU of each core",
        "EVENT LOOP near 100 %: frames are late; workers may be busy, others should idle.",
        "percentunit",
        (of_cores(BUSY, "loop"), "core {{cpu}}: EVENT LOOP"),
        (of_cores(BUSY, "worker"), "core {{cpu}}: worker"),
        (f"{BUSY} unless on (instance, cpu) voicebot_core_role{{@}}", "core {{cpu}}: free"),
        limits=((0.8, RED),), top=1, lines=CORES, to=to,
    )  # fmt: skip


def overview() -> Json:
    return dashboard(
        "overview", "overview",
        "First page of whoever is on call. Is it us, how bad is it, and since when?",
        row(
            4,
            (8, stat(
                "Firing alerts", "Red: a page, open its runbook; orange: a ticket.", "none",
                ('sort_desc(2 * max by (alertname) (ALERTS{alertstate="firing",severity="page"})'
                 ' or max by (alertname) (ALERTS{alertstate="firing",severity="ticket"}))'
                 ' or on () label_replace(vector(0), "alertname", "none", "", "")',
                 "{{alertname}}"),
                steps=((None, GREEN), (1, ORANGE), (2, RED)), text="name", listed=True,
            )),
            stat(
                "Service", "Anything but up: callers reach people now, or hear nothing.", "none",
                ('2 * (max by (instance) (voicebot_draining{@}) == 1)'
                 ' or max by (instance) (up{@,job="voicebot"})', "{{instance}}"),
                says={"0": ("DOWN", RED), "1": ("up", GREEN), "2": ("draining", ORANGE)},
            ),
            stat(
                "Trunk", "Anything but registered: no calls arrive from the network.", "none",
                # The worst of several: 2 is rejected, 0 not registered, and only 1 is good.
                ("max(asterisk_pjsip_outbound_registration_status{@} == 2)"
                 " or min(asterisk_pjsip_outbound_registration_status{@})", "trunk"),
                says={"0": ("UNREGISTERED", RED), "1": ("registered", GREEN),
                      "2": ("REJECTED", RED)},
                none="no trunk", to=("asterisk",),
            ),
            stat(
                "Good test call", "Over 150 s: real callers are probably not served either.", "s",
                ("time() - max(voicebot_probe_last_success_timestamp_seconds{@})", "ago"),
                steps=((None, RED), (0, GREEN), (90, YELLOW), (150, RED)), decimals=0, none="never",
            ),
            stat(
                "Places taken", "At the limit the next caller goes to a person.", "percentunit",
                ("sum(voicebot_calls_active{@}) / sum(voicebot_calls_limit{@})", "of the limit"),
                steps=((None, GREEN), (0.8, YELLOW), (0.95, RED)), decimals=0, to=("capacity",),
            ),
            stat(
                "Version", "A change here just before the trouble: roll back first.", "none",
                ("voicebot_build_info{@}", "{{version}}"), text="name",
            ),
        ),
        row(
            3,
            stat(
                "Error budget left (30 days)",
                "Red or below 0: this month's objective is missed; stop risky changes.",
                "percentunit",
                ("slo:period_error_budget_remaining:ratio", "{{slo}}"),
                steps=BUDGET, decimals=0, text="value_and_name", none="no data", to=("slo",),
            ),
        ),
        row(
            8,
            graph(
                "Calls that ended, per minute",
                "Red is ours to fix; grey or yellow alone means callers who gave up.", "none",
                ('sum by (outcome) (rate(voicebot_calls_total{@,traffic!="probe"}[R])) * 60',
                 "{{outcome}}"),
                stack=True, colors=OUTCOMES, to=("business",),
            ),
            graph(
                "Wait for an answer",
                "p95 above the red line: one caller in twenty waits too long; go to latency.", "s",
                *quantiles(RESPONSES), limits=RESPONSE, top=3,
                colors={"p50": GREEN, "p95": ORANGE, "p99": RED}, exemplars=True, to=("latency",),
            ),
        ),
        row(7, mean_wait(to=("latency",)), each_core(to=("host",))),
        row(
            8,
            graph(
                "Burn of the error budgets (1 h)",
                "Above 14.4 the month's budget is gone in two days; below 1 all is well.", "none",
                ("slo:current_burn_rate:ratio", "{{slo}}"),
                limits=((1, GREEN), (6, ORANGE), (14.4, RED)), top=16, to=("slo",),
            ),
            graph(
                "Turns per minute, by outcome",
                "Orange growing: callers are not understood, look at providers.", "none",
                ("sum by (outcome) (rate(voicebot_turns_total{@,traffic!='probe'}[R])) * 60",
                 "{{outcome}}"),
                stack=True, colors=TURNS, to=("providers",),
            ),
            graph(
                "Audio frames 20 ms late or more",
                "Above the line callers hear gaps: look at the host.", "percentunit",
                ("1 - sum(rate(voicebot_audio_frame_lateness_seconds_bucket{@,le=\"0.02\"}[R]))"
                 " / sum(rate(voicebot_audio_frame_lateness_seconds_count{@}[R]))", "late"),
                limits=((LATE, RED),), top=2 * LATE, to=("host",),
            ),
        ),
    )  # fmt: skip


def latency() -> Json:
    return dashboard(
        "latency", "turn latency",
        "Callers wait: in which stage of a turn, and since when?",
        row(
            4,
            stat(
                "Answered within 2.5 s", "Below 99 %: the objective is being missed.",
                "percentunit",
                (f'sum(rate({RESPONSES}_bucket{{@,le="2.5"}}[$__range]))'
                 f" / (sum(rate({RESPONSES}_count{{@}}[$__range])) > 0)", "good"),
                steps=((None, RED), (0.99, GREEN)), decimals=1,
            ),
            stat(
                "Answered within 1.25 s", "Below 90 %: the bot feels slow, though nobody is paged.",
                "percentunit",
                (f'sum(rate({RESPONSES}_bucket{{@,le="1.25"}}[$__range]))'
                 f" / (sum(rate({RESPONSES}_count{{@}}[$__range])) > 0)", "comfortable"),
                steps=((None, YELLOW), (0.9, GREEN)), decimals=1,
            ),
            stat(
                "Greeting heard after (p95)", "Over 0.8 s: calls begin with silence.", "s",
                ("histogram_quantile(0.95, sum by (le)"
                 " (rate(voicebot_call_first_audio_seconds_bucket{@}[$__range])))", "p95"),
                steps=((None, GREEN), (0.8, YELLOW), (1.6, RED)),
            ),
            stat(
                "Bot silent after barge-in (p95)", "Over 0.4 s: the bot talks over callers.", "s",
                ("histogram_quantile(0.95, sum by (le)"
                 " (rate(voicebot_barge_in_stop_seconds_bucket{@}[$__range])))", "p95"),
                steps=((None, GREEN), (0.4, RED)),
            ),
        ),
        row(
            9,
            mean_wait(to=("providers",)),
            heatmap(
                "Every wait", "A second band or upward drift shows here before the percentiles.",
                f"{RESPONSES}_bucket{{@}}", exemplars=True,
            ),
        ),
        row(
            9,
            graph(
                "Wait for an answer", "p50 up: all callers; only p99 up: a few, with one cause.",
                "s", *quantiles(RESPONSES), limits=RESPONSE, top=3,
                colors={"p50": GREEN, "p95": ORANGE, "p99": RED}, exemplars=True,
            ),
            graph(
                "Slow stages (p95 of each)", "The line that moved with the wait is the cause.", "s",
                (quantile(0.95, "voicebot_turn_stage_seconds", "le, stage"), "{{stage}}"),
                colors=STAGES, exemplars=True,
            ),
            graph(
                "Caller speaks over the bot, per minute",
                "Many false ones: noise or echo interrupts the bot for nothing.", "none",
                ("sum by (outcome) (rate(voicebot_barge_ins_total{@}[R])) * 60", "{{outcome}}"),
                stack=True, colors={"accepted": BLUE, "backchannel": GREY, "false": ORANGE},
            ),
        ),
        row(
            7,
            graph(
                "Turns with a filler, by what was late",
                "Above the line callers hear 'un instant' too often; the colour says what is late.",
                "percentunit",
                ("sum by (waiting_for) (rate(voicebot_fillers_total{@}[R])) / ignoring "
                 "(waiting_for) group_left () (sum(rate(voicebot_turns_total{@}[R])) > 0)",
                 "{{waiting_for}}"),
                stack=True, colors=WAITING_FOR, limits=((0.05, RED),), top=0.1, to=("providers",),
            ),
            graph(
                "Asked ahead of the turn's end, per minute",
                "Many dropped: paid for in vain; capped: the limit per turn or call was reached.",
                "none",
                ("sum by (fate) (rate(voicebot_llm_speculations_total{@}[R])) * 60", "{{fate}}"),
                stack=True, colors={"used": GREEN, "dropped": ORANGE, "capped": GREY},
                to=("providers",),
            ),
            graph(
                "How pauses sounded, per minute",
                "Late is normal: the words had already decided. Red: workers fail, and only the "
                "words decide.", "none",
                ("sum by (outcome) (rate(voicebot_turn_end_judgements_total{@}[R])) * 60",
                 "{{outcome}}"),
                stack=True, colors={"finished": GREEN, "unfinished": GREY, "late": BLUE,
                                    "failed": RED},
            ),
        ),
    )  # fmt: skip


def _requests(stage: str, name: str) -> Json:
    return graph(
        f"{name}: requests per minute", "Red or orange: it fails; a fallback handles the calls.",
        "none",
        (f'sum by (outcome) (rate(voicebot_provider_requests_total{{@,stage="{stage}"}}[R])) * 60',
         "{{outcome}}"),
        stack=True, colors=REQUESTS,
    )  # fmt: skip


def _first_result(name: str, histogram: str, what: str) -> Json:
    return graph(
        f"{name}: {what} (p95)", "One provider up: its fault; all up: host or network.", "s",
        (quantile(0.95, histogram, "le, provider"), "{{provider}}"),
    )  # fmt: skip


def providers() -> Json:
    return dashboard(
        "providers", "providers",
        "Speech and language services: whose fault is it, and does the fallback handle the calls?",
        row(
            5,
            bars(
                "Failed requests", "Over 20 %: the provider is as good as down.", "percentunit",
                ('sum by (stage, provider) (increase(voicebot_provider_requests_total'
                 '{@,outcome=~"error|timeout"}[$__range])) / (sum by (stage, provider)'
                 " (increase(voicebot_provider_requests_total{@}[$__range])) > 0)",
                 "{{stage}} {{provider}}"),
                steps=((None, GREEN), (0.02, YELLOW), (0.2, RED)), top=1, decimals=1,
            ),
            stat(
                "Not asked now", "A provider named here failed so often that it is being skipped.",
                "none",
                ("sum by (stage, provider) (voicebot_provider_circuit_open{@}) > 0",
                 "{{stage}} {{provider}}"),
                steps=((None, GREEN), (1, RED)), says={"1": ("not asked", RED)},
                text="value_and_name", none="all are asked",
            ),
            stat(
                "Days until a model in use is switched off",
                "Below 30: plan the change of model now.", "d",
                ("(min by (stage, provider) (voicebot_model_sunset_timestamp_seconds{@} > 0)"
                 " - time()) / 86400", "{{stage}} {{provider}}"),
                steps=((None, BLUE), (-3650, RED), (30, YELLOW), (90, GREEN)), decimals=0,
                none="no date known",
            ),
            stat(
                "Cost per hour", "A jump without more calls: look for retries and hedges.", "none",
                ("sum(rate(voicebot_cost_total{@}[1h])) * 3600", "per hour"), decimals=2,
                none="nothing paid",
            ),
        ),
        row(
            7,
            graph(
                "Replies of the language model, per minute",
                "Orange: unusable replies, so the model or the script changed; red: it "
                "failed.", "none",
                ("sum by (outcome) (rate(voicebot_llm_replies_total{@}[R])) * 60", "{{outcome}}"),
                stack=True, colors=REPLIES,
            ),
            graph(
                "Useless replies", "Above the line: callers are asked to repeat needlessly.",
                "percentunit",
                ('sum(rate(voicebot_llm_replies_total{@,outcome="misfit"}[R]))'
                 " / (sum(rate(voicebot_llm_replies_total{@}[R])) > 0)", "misfit"),
                limits=((0.1, RED),), top=0.2, colors={"misfit": ORANGE},
            ),
        ),
        row(7, _requests("stt", "Listening"), _requests("llm", "Language model"),
            _requests("tts", "Speaking")),
        row(
            7,
            _first_result("Listening", "voicebot_stt_final_seconds", "words"),
            _first_result("Language model", "voicebot_llm_first_token_seconds", "first token"),
            _first_result("Speaking", "voicebot_tts_first_audio_seconds", "first sound"),
        ),
        row(
            7,
            graph(
                "Cost per hour, by provider", "What the calls cost now, in the currency of the "
                "price table.", "none",
                ("sum by (stage, provider) (rate(voicebot_cost_total{@}[R])) * 3600 > 0",
                 "{{stage}} {{provider}}"), stack=True,
            ),
            graph(
                "Use of paid services", "Shows what drives the cost: tokens, characters, seconds.",
                "none",
                ("sum by (direction) (rate(voicebot_llm_tokens_total{@}[R])) * 60",
                 "tokens {{direction}} /min"),
                ("sum(rate(voicebot_tts_characters_total{@}[R])) * 60", "characters /min"),
                ("sum(rate(voicebot_stt_audio_seconds_total{@}[R])) * 60", "audio seconds /min"),
            ),
            graph(
                "Saved and doubled requests per minute",
                "Few prompt hits: not rendered; many hedges: a slow provider is paid for twice.",
                "none",
                ('sum(rate(voicebot_prompt_cache_lookups_total{@,result="hit"}[R])) * 60',
                 "prompt ready"),
                ('sum(rate(voicebot_prompt_cache_lookups_total{@,result="miss"}[R])) * 60',
                 "prompt missing"),
                ("sum by (outcome) (rate(voicebot_provider_hedges_total{@}[R])) * 60",
                 "hedge {{outcome}}"),
                colors={"prompt ready": GREEN, "prompt missing": RED},
            ),
        ),
    )  # fmt: skip
