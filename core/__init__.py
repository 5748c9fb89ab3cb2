"""The distillation engine: a library that knows nothing of any user interface.

The data's way through it:

    ExperimentConfig  (config)      what to do, frozen and validated
      -> LoadedModel  (catalog)     the teacher: weights, tokenizer, what is known of it
      -> student      (students)    built from the teacher through its architecture spec, or from nothing
      -> Blocks       (data)        rows -> segments -> packed token blocks with a weight per position
      -> Trainer      (training)    losses per position, logged to a Recorder, checkpointed
      -> Report       (evaluation)  teacher, student before and after, control, on the same items
      -> folder                     an ordinary Transformers folder plus stillhouse.json
"""

__version__ = "0.1.0"
