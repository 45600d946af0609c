"""A fully connected layer with noise on its weights, on a GPU."""

from typing import Any

from chainer.backends import cuda

from vdprune import kernels
from vdprune.functions.cuda_variational_layer import CudaVariationalLayer
from vdprune.functions.variational_layer import new_key


class CudaVariationalDropoutLinear(CudaVariationalLayer):
    """Means and variances are products of one call, forward and back."""

    def products(self, x: Any, b: Any) -> Any:
        self.rows, columns = kernels.cuda.lay_out(x, self.input_numbers)
        products = cuda.cupy.matmul(self.moments, columns)
        y = kernels.cuda.sample(
            products, self.output_places, b, self.noise_scale, self.noise, new_key()
        )
        self.slopes = products[1]
        return y

    def product_gradients(self, g: Any, wants_x: bool) -> tuple[Any, Any, Any, Any]:
        columns, rows, g_b = kernels.cuda.part_gradients(
            g, self.slopes, self.output_places, wants_x
        )
        g_mean, g_variance = cuda.cupy.matmul(columns, self.rows)
        g_x = None
        if wants_x:
            products = cuda.cupy.matmul(rows, self.moments)
            g_x = kernels.cuda.combine(self.x, products, self.input_places)
        return g_x, g_mean, g_variance, g_b
