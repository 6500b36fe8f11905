# mmengine.hub looks for the function here.
from ..setup_env import register_all_modules

__all__ = ['register_all_modules']
