"""The scorers of ODA-DataScorer (56b43dd) that vicinal does not have: they read texts or run a model."""

from vicinal.errors import UsageError, unknown
from vicinal.tasks.score.settings import Setting

TEXT_SCORERS = (
    "ApjsScorer",
    "CompressRatioScorer",
    "GramEntropyScorer",
    "HddScorer",
    "LogicalWordCountScorer",
    "MtldScorer",
    "PureThinkScorer",
    "StrLengthScorer",
    "ThinkOrNotScorer",
    "TokenEntropyScorer",
    "TokenLengthScorer",
    "TreeInstructScorer",
    "TsPythonScorer",
    "UniqueNgramScorer",
    "UniqueNtokenScorer",
    "VocdDScorer",
)
MODEL_SCORERS = (
    "AskLlmScorer",
    "AtheneScorer",
    "CleanlinessScorer",
    "ComplexityScorer",
    "DebertaScorer",
    "DeitaCScorer",
    "DeitaQScorer",
    "EffectiveRankScorer",
    "EmbedSVDEntropyScorer",
    "FailRateScorer",
    "FinewebEduScorer",
    "Gpt2HarmlessScorer",
    "Gpt2HelpfulScorer",
    "GraNdScorer",
    "HESScorer",
    "IFDScorer",
    "InfOrmScorer",
    "InstagScorer",
    "MIWVScorer",
    "NormLossScorer",
    "NuclearNormScorer",
    "PPLScorer",
    "ProfessionalismScorer",
    "QuRateScorer",
    "RMDeBERTaScorer",
    "ReadabilityScorer",
    "ReasoningScorer",
    "SelectitModelScorer",
    "SelectitSentenceScorer",
    "SelectitTokenScorer",
    "SkyworkLlamaScorer",
    "SkyworkQwenScorer",
    "Task2VecScorer",
    "TextbookScorer",
    "ThinkingProbScorer",
    "UPDScorer",
    "UniEvalD2tScorer",
    "UniEvalDialogScorer",
    "UniEvalFactScorer",
    "UniEvalSumScorer",
)
REMEDY = "remove it from the file, or skip it with --skip-unknown (in Python: skip_unknown=True)"


def reason(name: str) -> str:
    """Return why there is no scorer of this name: what it reads; empty where the name is not known at all.

    >>> reason("MtldScorer"), reason("PPLScorer"), reason("KnScorer")
    ('reads texts', 'runs a model', '')
    """
    return "reads texts" if name in TEXT_SCORERS else "runs a model" if name in MODEL_SCORERS else ""


def refusal(setting: Setting, choices: tuple[str, ...]) -> UsageError:
    """Return the error for the name of a scorer that vicinal does not have."""
    name = setting.text()
    if why := reason(name):
        return UsageError(f"{setting.place}: {name} {why}, which vicinal does not; {REMEDY}")
    return UsageError(f"{setting.place}: {unknown('scorer', name, choices)}")
