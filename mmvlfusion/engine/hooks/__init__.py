from .adapter_hook import AdapterHook
from .class_count_hook import ClassCountHook
from .data_files_hook import DataFilesHook
from .exact_resume_hook import ExactResumeHook
from .feature_maps_hook import FeatureMapsHook
from .image_files_hook import ImageFilesHook
from .initial_weights_hook import InitialWeightsHook
from .question_visualization_hook import QuestionVisualizationHook
from .step_checkpoint_hook import StepCheckpointHook
from .task_mixture_hook import TaskMixtureHook

__all__ = [
    'AdapterHook',
    'ClassCountHook',
    'DataFilesHook',
    'ExactResumeHook',
    'FeatureMapsHook',
    'ImageFilesHook',
    'InitialWeightsHook',
    'QuestionVisualizationHook',
    'StepCheckpointHook',
    'TaskMixtureHook',
]
