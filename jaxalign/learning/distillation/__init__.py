"""Students that learn a task and a teacher's geometry, beside the same ones without a teacher."""
